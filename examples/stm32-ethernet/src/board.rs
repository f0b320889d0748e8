//! A Nucleo-H743ZI: its Ethernet, with an address by DHCP.

use embassy_executor::Spawner;
use embassy_net::{Config, Runner, Stack, StackResources};
use embassy_stm32::eth::{Ethernet, GenericPhy, PacketQueue, Sma};
use embassy_stm32::peripherals::{ETH, ETH_SMA, FLASH, RNG};
use embassy_stm32::rng::Rng;
use embassy_stm32::{Peri, bind_interrupts, eth, rng};
use static_cell::StaticCell;

bind_interrupts!(struct Interrupts {
    ETH => eth::InterruptHandler;
    RNG => rng::InterruptHandler<RNG>;
});

type Device = Ethernet<'static, ETH, GenericPhy<Sma<'static, ETH_SMA>>>;

/// The board, up and running.
pub struct Board {
    pub network: Stack<'static>,
    pub rng: Rng<'static, RNG>,
    pub flash: Peri<'static, FLASH>,
}

/// Starts the board and its network.
pub fn start(spawner: Spawner) -> Board {
    let mut config = embassy_stm32::Config::default();
    {
        use embassy_stm32::rcc::*;
        config.rcc.hsi = Some(HSIPrescaler::DIV1);
        config.rcc.csi = true;
        config.rcc.hsi48 = Some(Default::default()); // for the generator
        config.rcc.pll1 = Some(Pll {
            source: PllSource::HSI,
            prediv: PllPreDiv::DIV4,
            mul: PllMul::MUL50,
            fracn: None,
            divp: Some(PllDiv::DIV2),
            divq: None,
            divr: None,
        });
        config.rcc.sys = Sysclk::PLL1_P; // 400 MHz
        config.rcc.ahb_pre = AHBPrescaler::DIV2;
        config.rcc.apb1_pre = APBPrescaler::DIV2;
        config.rcc.apb2_pre = APBPrescaler::DIV2;
        config.rcc.apb3_pre = APBPrescaler::DIV2;
        config.rcc.apb4_pre = APBPrescaler::DIV2;
        config.rcc.voltage_scale = VoltageScale::Scale1;
    }
    let p = embassy_stm32::init(config);
    let mut rng = Rng::new(p.RNG, Interrupts);

    // Local, and the chip's own.
    let [a, b, c, ..] = embassy_stm32::uid::uid();
    let mac = [0x02, 0, 0, a, b, c];
    static QUEUE: StaticCell<PacketQueue<4, 4>> = StaticCell::new();
    let device = Ethernet::new(
        QUEUE.init(PacketQueue::new()),
        p.ETH,
        Interrupts,
        p.PA1,
        p.PA7,
        p.PC4,
        p.PC5,
        p.PG13,
        p.PB13,
        p.PG11,
        mac,
        p.ETH_SMA,
        p.PA2,
        p.PC1,
    );
    // DHCP, a name, the application; and two more under a tunnel.
    static RESOURCES: StaticCell<StackResources<5>> = StaticCell::new();
    let resources = RESOURCES.init(StackResources::new());
    let (network, runner) =
        embassy_net::new(device, Config::dhcpv4(Default::default()), resources, rng.next_u64());
    spawner.spawn(run(runner).expect("one of it"));
    Board { network, rng, flash: p.FLASH }
}

#[embassy_executor::task]
async fn run(mut runner: Runner<'static, Device>) -> ! {
    runner.run().await
}
