//! A W5500-EVB-Pico: an RP2040 and its W5500, with an address by DHCP.

use embassy_executor::Spawner;
use embassy_net::{Config, Stack, StackResources};
use embassy_net_wiznet::chip::W5500;
use embassy_net_wiznet::{Device, Runner, State};
use embassy_rp::clocks::RoscRng;
use embassy_rp::gpio::{Input, Level, Output, Pull};
use embassy_rp::peripherals::{DMA_CH0, DMA_CH1, FLASH, SPI0};
use embassy_rp::spi::{Async, Spi};
use embassy_rp::{Peri, bind_interrupts, dma, spi};
use embassy_time::Delay;
use embedded_hal_bus::spi::ExclusiveDevice;
use static_cell::StaticCell;

bind_interrupts!(struct Interrupts {
    DMA_IRQ_0 => dma::InterruptHandler<DMA_CH0>, dma::InterruptHandler<DMA_CH1>;
});

type Bus = ExclusiveDevice<Spi<'static, SPI0, Async>, Output<'static>, Delay>;

/// The board, up and running.
pub struct Board {
    pub network: Stack<'static>,
    pub rng: Rosc,
    pub flash: Peri<'static, FLASH>,
}

/// The ring oscillator. By its datasheet (2.17.5) its bits alone are not good enough for security,
/// so each byte is folded from 512 of them. A board that has a generator made for keys, as the
/// RP2350 has, takes that.
pub struct Rosc;

impl Rosc {
    pub fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| {
            (0..64).fold(0u8, |folded, _| folded.rotate_left(1) ^ RoscRng::next_u8())
        });
    }
}

/// Starts the board and its network.
pub async fn start(spawner: Spawner) -> Board {
    let p = embassy_rp::init(Default::default());
    let mut rng = Rosc;
    let mut random = [0; 13];
    rng.fill_bytes(&mut random);
    let [a, b, c, d, e, seed @ ..] = random;
    let mac = [0x02, a, b, c, d, e];

    let mut config = spi::Config::default();
    config.frequency = 50_000_000;
    let bus =
        Spi::new(p.SPI0, p.PIN_18, p.PIN_19, p.PIN_16, p.DMA_CH0, p.DMA_CH1, Interrupts, config);
    let bus = ExclusiveDevice::new(bus, Output::new(p.PIN_17, Level::High), Delay);
    static STATE: StaticCell<State<4, 4>> = StaticCell::new();
    let (device, wiznet) = embassy_net_wiznet::new(
        mac,
        STATE.init(State::new()),
        bus.expect("its pin cannot fail"),
        Input::new(p.PIN_21, Pull::Up),
        Output::new(p.PIN_20, Level::High),
    )
    .await
    .expect("the W5500 answers");
    spawner.spawn(run_wiznet(wiznet).expect("one of it"));

    // DHCP, a name, the application; and two more under a tunnel.
    static RESOURCES: StaticCell<StackResources<5>> = StaticCell::new();
    let resources = RESOURCES.init(StackResources::new());
    let seed = u64::from_le_bytes(seed);
    let (network, runner) =
        embassy_net::new(device, Config::dhcpv4(Default::default()), resources, seed);
    spawner.spawn(run(runner).expect("one of it"));
    Board { network, rng, flash: p.FLASH }
}

#[embassy_executor::task]
async fn run_wiznet(runner: Runner<'static, W5500, Bus, Input<'static>, Output<'static>>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn run(mut runner: embassy_net::Runner<'static, Device<'static>>) -> ! {
    runner.run().await
}
