//! The board: Wi-Fi, the time, and the configuration in NVS.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use esp_idf_svc::eventloop::EspSystemEventLoop;
use esp_idf_svc::hal::peripherals::Peripherals;
use esp_idf_svc::log::EspLogger;
use esp_idf_svc::nvs::{EspDefaultNvsPartition, EspNvs};
use esp_idf_svc::sntp::EspSntp;
use esp_idf_svc::wifi::{AuthMethod, BlockingWifi, ClientConfiguration, Configuration, EspWifi};
use esp_idf_svc::{sys, timer};

/// The longest string that NVS takes, its zero counted.
const TEXT_LEN: usize = 4000;
/// What the application, HTTP and the log take of a stack, with room.
const STACK: usize = 16 * 1024;

fn main() -> Result<()> {
    sys::link_patches();
    // embassy-time's driver is linked only if something asks for it.
    timer::embassy_time_driver::link();
    EspLogger::initialize_default();

    let peripherals = Peripherals::take()?;
    let events = EspSystemEventLoop::take()?;
    let nvs = EspDefaultNvsPartition::take()?;
    let text = configuration(nvs.clone())?;
    let wifi = EspWifi::new(peripherals.modem, events.clone(), Some(nvs))?;
    let mut wifi = BlockingWifi::wrap(wifi, events)?;
    wifi.set_configuration(&Configuration::Client(network()?))?;
    wifi.start()?;
    let _sntp = EspSntp::new_default()?;

    // The radio is on: random numbers are random.
    thread::Builder::new().name("application".into()).stack_size(STACK).spawn(move || {
        let Err(error) = uptime_post_idf::post_uptime(&text);
        log::error!("no tunnel: {error}");
    })?;
    loop {
        if !wifi.is_connected()? {
            match wifi.connect().and_then(|()| wifi.wait_netif_up()) {
                Ok(()) => log::info!("Wi-Fi is up"),
                Err(error) => log::warn!("no Wi-Fi: {error}"),
            }
        }
        thread::sleep(Duration::from_secs(5));
    }
}

/// The Wi-Fi network that was named when this was built.
fn network() -> Result<ClientConfiguration> {
    let ssid = option_env!("WIFI_SSID").context("build with WIFI_SSID and WIFI_PASSWORD set")?;
    let password = option_env!("WIFI_PASSWORD").unwrap_or_default();
    let auth_method = if password.is_empty() { AuthMethod::None } else { AuthMethod::WPA2Personal };
    Ok(ClientConfiguration {
        ssid: ssid.try_into().map_err(|_| anyhow!("WIFI_SSID has more than 32 bytes"))?,
        password: password.try_into().map_err(|_| anyhow!("WIFI_PASSWORD: more than 64 bytes"))?,
        auth_method,
        ..Default::default()
    })
}

/// The wg-quick file: `conf` in the namespace `wg` of NVS, or `WG_CONF` when this was built.
fn configuration(partition: EspDefaultNvsPartition) -> Result<String> {
    let mut text = [0; TEXT_LEN];
    // A namespace that nobody wrote to cannot be opened for reading.
    let kept = EspNvs::new(partition, "wg", false).ok();
    let kept = kept.map(|nvs| nvs.get_str("conf", &mut text)).transpose()?.flatten();
    kept.or(option_env!("WG_CONF"))
        .map(str::to_owned)
        .context("no configuration: write nvs.bin, or build with WG_CONF set; see README.md")
}
