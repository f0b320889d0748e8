//! Where the board starts. On this computer:
//! `cargo run -p template wg0.conf directory-of-what-is-kept`.

mod board;

use std::ops::ControlFlow;

use anyhow::{Context, Result};
use wg_nal::wg_core::config::Config;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (file, store) = arguments
        .next()
        .zip(arguments.next())
        .context("usage: template <wg-quick file> <directory of what is kept>")?;
    let text = std::fs::read_to_string(&file);
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    // A board has the URL from when it was built.
    let url = std::env::var("POST_URL").unwrap_or_else(|_| uptime::URL.to_owned());

    // A mistake in the text has no port, and is told below.
    let listen_port = Config::parse(&text).map_or(0, |config| config.listen_port());
    async_io::block_on(async {
        let board = board::start(listen_port, store.into()).await?;
        let pause = embassy_time::Duration::from_secs(1);
        let told = |outcome| {
            println!("{outcome}");
            ControlFlow::<()>::Continue(())
        };
        let post = async |network: embassy_net::Stack<'_>| {
            uptime::post_uptime_over(network, &url, pause, told).await;
        };
        Ok(template::run(board, &text, post).await?)
    })
}
