//! The chip: its radio, its flash, its random generator.

use alloc::string::ToString;
use core::ops::Range;

use embassy_executor::Spawner;
use embassy_net::{Config, DhcpConfig, Runner, Stack, StackResources};
use embassy_time::Timer;
use embedded_storage::nor_flash::ReadNorFlash;
use esp_bootloader_esp_idf::partitions::{self, PARTITION_TABLE_MAX_LEN};
use esp_hal::clock::CpuClock;
use esp_hal::interrupt::software::SoftwareInterruptControl;
use esp_hal::ram;
use esp_hal::rtc_cntl::Rtc;
use esp_hal::timer::timg::TimerGroup;
use esp_println::println;
use esp_radio::wifi::sta::StationConfig;
use esp_radio::wifi::{self, ControllerConfig, Interface, WifiController};
use esp_storage::FlashStorage;
use static_cell::StaticCell;
use wg_esp_hal::wg_nal::Drbg;
use wg_esp_hal::wg_nal::rand_core::Rng as _;

/// What went wrong, in a sentence.
pub type Error = alloc::string::String;

/// A board that has started.
pub struct Board {
    /// The network outside, which may still be coming up.
    pub wifi: Stack<'static>,
    /// Seeded while the radio was on.
    pub rng: Drbg,
    /// The time of day, perhaps.
    pub rtc: Rtc<'static>,
    pub flash: FlashStorage<'static>,
    /// The partition `wg` of the flash.
    pub partition: Range<u32>,
}

/// Starts the chip, its scheduler and its radio, and tasks that keep Wi-Fi up.
pub fn start(spawner: Spawner) -> Result<Board, Error> {
    let chip = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    // The radio's; the tunnel takes none of it.
    esp_alloc::heap_allocator!(#[ram(reclaimed)] size: 64 * 1024);
    esp_alloc::heap_allocator!(size: 36 * 1024);
    let timers = TimerGroup::new(chip.TIMG0);
    let interrupts = SoftwareInterruptControl::new(chip.SW_INTERRUPT);
    esp_rtos::start(timers.timer0, interrupts.software_interrupt0);

    let ssid = option_env!("WIFI_SSID").unwrap_or_default();
    if ssid.is_empty() {
        return Err("no Wi-Fi: build with WIFI_SSID and WIFI_PASSWORD set".into());
    }
    let password = option_env!("WIFI_PASSWORD").unwrap_or_default();
    let station = StationConfig::default().with_ssid(ssid).with_password(password.into());
    let config = ControllerConfig::default().with_initial_config(wifi::Config::Station(station));
    let (controller, interfaces) =
        wifi::new(chip.WIFI, config).map_err(|error| alloc::format!("Wi-Fi: {error:?}"))?;
    // The radio is on, so the generator is random.
    let mut entropy = wg_esp_hal::trng(&controller).map_err(|error| alloc::format!("{error:?}"))?;
    let mut rng = entropy.drbg().map_err(|error| error.to_string())?;

    static RESOURCES: StaticCell<StackResources<4>> = StaticCell::new();
    let (wifi, runner) = embassy_net::new(
        interfaces.station,
        Config::dhcpv4(DhcpConfig::default()),
        RESOURCES.init(StackResources::new()),
        rng.next_u64(),
    );
    spawner.spawn(run_network(runner).map_err(|error| alloc::format!("{error:?}"))?);
    spawner.spawn(stay_connected(controller).map_err(|error| alloc::format!("{error:?}"))?);

    let mut flash = FlashStorage::new(chip.FLASH);
    let partition = find_partition(&mut flash)?;
    Ok(Board { wifi, rng, rtc: Rtc::new(chip.LPWR), flash, partition })
}

fn find_partition(flash: &mut FlashStorage<'_>) -> Result<Range<u32>, Error> {
    let mut bytes = alloc::vec![0; PARTITION_TABLE_MAX_LEN];
    let table = partitions::read_partition_table(flash, &mut bytes)
        .map_err(|error| alloc::format!("the partition table: {error:?}"))?;
    let partition = table.iter().find(|partition| partition.label_as_str() == "wg");
    let partition = partition.ok_or("no partition `wg`: flash with partitions.csv")?;
    Ok(partition.offset()..partition.offset().saturating_add(partition.len()))
}

#[embassy_executor::task]
async fn run_network(mut runner: Runner<'static, Interface<'static>>) -> ! {
    runner.run().await
}

/// Connects, and again whenever the connection is lost.
#[embassy_executor::task]
async fn stay_connected(mut controller: WifiController<'static>) {
    loop {
        match controller.connect_async().await {
            Ok(_) => {
                println!("Wi-Fi is up");
                if let Ok(lost) = controller.wait_for_disconnect_async().await {
                    println!("Wi-Fi is lost: {:?}", lost.reason);
                }
            }
            Err(error) => println!("no Wi-Fi: {error:?}"),
        }
        Timer::after_secs(5).await;
    }
}

/// A certificate in DER at the start of the partition `wg`, for TLS.
pub fn certificate(board: &mut Board) -> Result<alloc::vec::Vec<u8>, Error> {
    let mut bytes = alloc::vec![0; 4096];
    ReadNorFlash::read(&mut board.flash, board.partition.start, &mut bytes)
        .map_err(|error| alloc::format!("the flash: {error:?}"))?;
    // SEQUENCE, and its length in two bytes.
    let [0x30, 0x82, high, low] = bytes[..4] else { return Err("no certificate in flash".into()) };
    bytes.truncate(4 + usize::from(u16::from_be_bytes([high, low])));
    Ok(bytes)
}
