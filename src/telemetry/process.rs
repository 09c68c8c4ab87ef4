//! Metrics of this process from `/proc`, with the names and HELP texts of the official Prometheus clients.

use super::families::{FamilyRegistry, metric_families};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// `USER_HZ`: clock ticks per second in `/proc/self/stat`. Linux fixes it, whatever the kernel's own tick rate.
const TICKS: f64 = 100.0;

metric_families! {
    #[derive(Debug)]
    struct ProcessFamilies {
        start: Gauge<f64, AtomicU64>, "process_start_time_seconds",
            "Start time of the process since the Unix epoch, in seconds.";
        resident: Gauge, "process_resident_memory_bytes", "Resident memory size in bytes.";
        virtual_memory: Gauge, "process_virtual_memory_bytes", "Virtual memory size in bytes.";
        open_files: Gauge, "process_open_fds", "Number of open file descriptors.";
        max_files: Gauge, "process_max_fds", "Maximum number of open file descriptors.";
        cpu: Counter<f64, AtomicU64>, "process_cpu_seconds_total",
            "Total user and system CPU time spent, in seconds.";
    }
}

/// The metrics of this process.
#[derive(Debug)]
pub(super) struct Process(ProcessFamilies);

impl Process {
    pub(super) fn register(registry: &mut FamilyRegistry) -> Self {
        let families = ProcessFamilies::register(registry);
        families.start.set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
        Self(families)
    }

    /// Reads `/proc`. What cannot be read keeps its last value: only Linux has `/proc`.
    pub(super) fn refresh(&self) {
        let families = &self.0;
        if let Ok(status) = fs::read_to_string("/proc/self/status") {
            for (key, gauge) in [("VmRSS:", &families.resident), ("VmSize:", &families.virtual_memory)] {
                if let Some(kibibytes) = number_after(&status, key) {
                    gauge.set(kibibytes.saturating_mul(1024));
                }
            }
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory that is being read.
            families.open_files.set(i64::try_from(open.count()).unwrap_or(i64::MAX) - 1);
        }
        if let Ok(limits) = fs::read_to_string("/proc/self/limits")
            && let Some(max) = number_after(&limits, "Max open files")
        {
            families.max_files.set(max);
        }
        if let Ok(stat) = fs::read_to_string("/proc/self/stat")
            && let Some(seconds) = cpu_seconds(&stat)
        {
            families.cpu.inner().store(seconds.to_bits(), Ordering::Relaxed);
        }
    }
}

/// The first number in the line that begins with `key`.
fn number_after(text: &str, key: &str) -> Option<i64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// utime + stime, fields 14 and 15. Field 2, the name of the program, may contain spaces and parentheses.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_parsed_for_any_program_name() {
        let stat = "7 (a) b c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 100 0 0";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("7 (a) S 1"), None);
        assert_eq!(number_after("Name:\tx\nVmRSS:\t    2048 kB\n", "VmRSS:"), Some(2048));
        assert_eq!(
            number_after("Max open files            1024                 4096", "Max open files"),
            Some(1024)
        );
        assert_eq!(number_after("Max open files            unlimited", "Max open files"), None);
    }
}
