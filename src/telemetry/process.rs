//! Metrics of this process from `/proc`, with the names and HELP texts of the official Prometheus clients.

use super::families::{FamilyRegistry, metric_families};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tracing::{info, warn};

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
        memory_limit: Gauge, "postlink_memory_limit_bytes",
            "Memory limit of the container (cgroup) in bytes; 0 if there is none.";
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
        families.memory_limit.set(memory_limit().unwrap_or(0));
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

/// How often the memory is compared with its limit. A list at start takes few seconds to fill it.
const MEMORY_INTERVAL: Duration = Duration::from_secs(1);

/// Logs when the memory comes close to the limit of the container, where the kernel ends the process without a word.
pub async fn watch_memory() {
    let mut warned = false;
    loop {
        let status = tokio::fs::read_to_string("/proc/self/status").await.unwrap_or_default();
        let resident = number_after(&status, "VmRSS:").map(|kibibytes| kibibytes.saturating_mul(1024));
        if let (Some(resident), Some(limit)) = (resident, memory_limit()) {
            let near = is_near(resident, limit, warned);
            let (resident_mib, limit_mib) = (resident >> 20, limit >> 20);
            if near && !warned {
                warn!(
                    resident_mib,
                    limit_mib,
                    "the memory is close to the limit of the container; raise the limit, see docs/operations.md#postlinkmemorynearlimit"
                );
            } else if warned && !near {
                info!(resident_mib, limit_mib, "the memory is below the limit of the container again");
            }
            warned = near;
        }
        tokio::time::sleep(MEMORY_INTERVAL).await;
    }
}

/// Above 85 % of the limit, and until it falls below 75 %.
fn is_near(resident: i64, limit: i64, before: bool) -> bool {
    let percent = if before { 75 } else { 85 };
    resident >= limit / 100 * percent
}

/// The memory limit of this process's cgroup in bytes, of version 2 or 1.
fn memory_limit() -> Option<i64> {
    let cgroups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = cgroups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    // In a container, the folder of its own cgroup is usually the root.
    let paths = [
        format!("/sys/fs/cgroup{}/memory.max", own.trim_end_matches('/')),
        "/sys/fs/cgroup/memory.max".to_owned(),
        "/sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned(),
    ];
    // Without a limit, version 2 says `max` and version 1 a number above any memory.
    let limits = paths.iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    limits.filter(|limit| *limit < 1 << 50).min()
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
    fn memory_is_near_its_limit_until_it_falls_well_below() {
        let near = |percent: i64, before| is_near(percent << 20, 100 << 20, before);
        assert_eq!(
            [near(84, false), near(86, false), near(76, true), near(74, true)],
            [false, true, true, false]
        );
    }

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
