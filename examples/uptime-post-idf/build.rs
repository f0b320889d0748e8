//! Passes on how ESP-IDF was built.

fn main() {
    #[cfg(feature = "esp-idf")]
    embuild::espidf::sysenv::output();
}
