//! What the kernel says of a process (proc(5)).

use std::fs;

/// A process's share of the machine so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time, with that of its children that have ended.
    pub(crate) cpu_s: f64,
    /// The most memory that was ever resident.
    pub(crate) peak_bytes: u64,
}

/// The times in `/proc/PID/stat` are in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

impl Usage {
    /// Of a process that lives, or has ended and was not waited for. `None` if there is no such process.
    pub(crate) fn of(pid: u32) -> Option<Usage> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let ticks: f64 = fields.get(11..15)?.iter().filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        // While its threads live, the scheduler knows their time in nanoseconds.
        let cpu_s = (ticks / TICKS_PER_SECOND).max(scheduled_s(pid));
        Some(Usage { cpu_s, peak_bytes: kib(pid, "VmHWM:").unwrap_or(0) * 1024 })
    }

    /// Of this process.
    pub(crate) fn own() -> Usage {
        Usage::of(std::process::id()).unwrap_or_default()
    }
}

/// Whether a process has ended. It may not have been waited for yet.
pub(crate) fn has_ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with(['Z', 'X']) || rest.is_empty())
}

/// Memory that is resident now.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    kib(pid, "VmRSS:").unwrap_or(0) * 1024
}

fn scheduled_s(pid: u32) -> f64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0.0 };
    let nanoseconds = tasks.flatten().filter_map(|task| {
        let schedstat = fs::read_to_string(task.path().join("schedstat")).ok()?;
        schedstat.split_whitespace().next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}

fn kib(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}
