//! Log lines by `log`, by `defmt`, by both or by neither. Must be the first module.

macro_rules! debug { ($($arg:tt)*) => { log_line!(debug, $($arg)*) } }
macro_rules! info { ($($arg:tt)*) => { log_line!(info, $($arg)*) } }
macro_rules! warn { ($($arg:tt)*) => { log_line!(warn, $($arg)*) } }

macro_rules! log_line {
    ($level:ident, $text:literal $(, $arg:expr)*) => {{
        #[cfg(feature = "log")]
        ::log::$level!($text $(, $arg)*);
        #[cfg(feature = "defmt")]
        ::defmt::$level!($text $(, ::defmt::Display2Format(&$arg))*);
        #[cfg(not(any(feature = "log", feature = "defmt")))]
        { $(let _ = &$arg;)* }
    }};
}
