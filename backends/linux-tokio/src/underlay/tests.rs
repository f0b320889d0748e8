use wg_core::Transmit;

use super::*;

fn train(to: SocketAddr, local: Option<IpAddr>, class: u8, datagrams: &[&[u8]]) -> Outbox {
    let mut outbox = Outbox::default();
    for datagram in datagrams {
        let to = Endpoint { remote: to, local };
        let datagram = &mut datagram.to_vec();
        outbox.push(&Transmit { peer: None, to, traffic_class: class, datagram });
    }
    outbox
}

async fn receive(underlay: &Underlay, count: usize) -> Vec<(Source, Vec<u8>)> {
    let mut inbox = Inbox::new();
    let mut all = Vec::new();
    while all.len() < count {
        let family = underlay.readable().await.unwrap();
        if underlay.receive(family, &mut inbox).unwrap() {
            let source = inbox.source();
            all.extend(inbox.datagrams().map(|datagram| (source, datagram.to_vec())));
        }
    }
    all
}

fn skip_without_ipv6(underlay: &Underlay) -> bool {
    let skip = underlay.v6.is_none();
    if skip {
        assert!(std::env::var_os("CI").is_none(), "there is no IPv6 here");
        eprintln!("skipped: there is no IPv6 here");
    }
    skip
}

#[tokio::test]
async fn a_train_arrives_as_its_datagrams_with_mark_and_both_addresses() {
    let (one, other) = (Underlay::bind(0, 0).unwrap(), Underlay::bind(0, 0).unwrap());
    let mut places = vec![(IpAddr::from([127, 0, 0, 2]), IpAddr::from([127, 0, 0, 3]))];
    if !skip_without_ipv6(&one) {
        places.push((Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()));
    }
    for (from, to) in places {
        let cars: [&[u8]; 3] = [&[1; 1400], &[2; 1400], &[3; 9]];
        let outbox = train((to, other.port()).into(), Some(from), 0x88 | 2, &cars);
        for train in outbox.trains() {
            one.send(&train).await.unwrap();
        }
        for ((source, datagram), sent) in receive(&other, 3).await.into_iter().zip(cars) {
            assert_eq!(datagram, sent);
            assert_eq!(source.remote, SocketAddr::from((from, one.port())));
            assert_eq!(source.local, Some(to));
            assert_eq!(source.ecn, Ecn::Capable0);
        }
    }
}

#[tokio::test]
async fn an_address_that_is_not_ours_any_more_is_left_out() {
    let (one, other) = (Underlay::bind(0, 0).unwrap(), Underlay::bind(0, 0).unwrap());
    let to = (Ipv4Addr::LOCALHOST, other.port()).into();
    let gone = Some(IpAddr::from([192, 0, 2, 1]));
    let outbox = train(to, gone, 0, &[&[1; 32], &[1; 32]]);
    for train in outbox.trains() {
        one.send(&train).await.unwrap();
    }
    for (source, _) in receive(&other, 2).await {
        assert_eq!(source.remote, SocketAddr::from((Ipv4Addr::LOCALHOST, one.port())));
    }
    // And nothing is worse afterwards.
    let marked = train(to, None, 1, &[&[1; 32]]);
    for train in marked.trains() {
        one.send(&train).await.unwrap();
    }
    assert_eq!(receive(&other, 1).await[0].0.ecn, Ecn::Capable1);
}

#[tokio::test]
async fn a_port_in_use_is_an_error_in_either_family() {
    let holder = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let error = Underlay::bind(holder.local_addr().unwrap().port(), 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);

    let underlay = Underlay::bind(0, 0).unwrap();
    let error = Underlay::bind(underlay.port(), 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}
