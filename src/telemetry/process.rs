//! What `/proc` says of this process, under the names every Prometheus client uses.

use super::declared::Families;
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// Ticks of processor time a second, as Linux shows them to programs, whatever the kernel's own are.
const TICKS: f64 = 100.0;

/// The gauges of a process.
#[derive(Debug)]
pub(super) struct Process {
    resident: Gauge,
    virtual_memory: Gauge,
    open: Gauge,
    most_open: Gauge,
    cpu: Counter<f64, AtomicU64>,
}

impl Process {
    pub(super) fn new(families: &mut Families) -> Self {
        let start: Gauge<f64, AtomicU64> = families
            .one("process_start_time_seconds", "When the process started, in seconds since the epoch.");
        start.set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
        Self {
            resident: families.one("process_resident_memory_bytes", "Memory the process occupies."),
            virtual_memory: families.one("process_virtual_memory_bytes", "Address space the process uses."),
            open: families.one("process_open_fds", "File descriptors in use."),
            most_open: families.one("process_max_fds", "File descriptors the process may use."),
            cpu: families.one("process_cpu_seconds_total", "Processor time used."),
        }
    }

    /// Reads them anew. What cannot be read stays as it was: there is no `/proc` outside of Linux.
    pub(super) fn refresh(&self) {
        if let Ok(status) = fs::read_to_string("/proc/self/status") {
            for (key, gauge) in [("VmRSS:", &self.resident), ("VmSize:", &self.virtual_memory)] {
                if let Some(kibibytes) = after(&status, key) {
                    gauge.set(kibibytes.saturating_mul(1024));
                }
            }
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is the folder itself.
            self.open.set(i64::try_from(open.count()).unwrap_or(i64::MAX) - 1);
        }
        if let Ok(limits) = fs::read_to_string("/proc/self/limits")
            && let Some(most) = after(&limits, "Max open files")
        {
            self.most_open.set(most);
        }
        if let Ok(stat) = fs::read_to_string("/proc/self/stat")
            && let Some(seconds) = processor_time(&stat)
        {
            self.cpu.inner().store(seconds.to_bits(), Ordering::Relaxed);
        }
    }
}

/// The first number behind a word at the beginning of a line.
fn after(text: &str, word: &str) -> Option<i64> {
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system time: the 14th and 15th field. The second is the program's name, which may hold anything.
fn processor_time(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read_by_its_words_and_not_by_what_a_program_is_called() {
        let stat = "7 (a) b c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 100 0 0";
        assert_eq!(processor_time(stat), Some(3.0));
        assert_eq!(processor_time("7 (a) S 1"), None);
        assert_eq!(after("Name:\tx\nVmRSS:\t    2048 kB\n", "VmRSS:"), Some(2048));
        assert_eq!(
            after("Max open files            1024                 4096", "Max open files"),
            Some(1024)
        );
        assert_eq!(after("Max open files            unlimited", "Max open files"), None);
    }
}
