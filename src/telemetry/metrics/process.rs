//! What the kernel says of this process, under the names that every Prometheus exporter uses.
//!
//! In: `/proc/self` and the process clock. Out: processor time, descriptors, memory, start time; where the kernel does
//! not say, the metric is left out.

use std::{
    fmt::Error,
    fs,
    os::unix::fs::MetadataExt,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

#[derive(Debug)]
pub(super) struct Process {
    started: f64,
}

impl Process {
    pub(super) fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            started: since_epoch.as_secs_f64(),
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> Result<(), Error> {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu = ConstCounter::new(cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9);
        write(
            &mut to,
            "process_cpu_seconds",
            "Processor time, user and system.",
            &cpu,
        )?;
        let started = ConstGauge::new(self.started);
        write(
            &mut to,
            "process_start_time_seconds",
            "Start, since 1970.",
            &started,
        )?;
        if let Some(open) = open_descriptors() {
            let open = ConstGauge::new(open);
            write(&mut to, "process_open_fds", "Open file descriptors.", &open)?;
        }
        if let Some(limit) = getrlimit(Resource::Nofile).current {
            let limit = ConstGauge::new(limit as f64);
            write(
                &mut to,
                "process_max_fds",
                "Limit of open file descriptors.",
                &limit,
            )?;
        }
        if let Some(bytes) = resident_bytes() {
            let bytes = ConstGauge::new(bytes);
            write(
                &mut to,
                "process_resident_memory_bytes",
                "Resident memory.",
                &bytes,
            )?;
        }
        Ok(())
    }
}

fn write(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> Result<(), Error> {
    let encoder = to.encode_descriptor(name, help, None, metric.metric_type())?;
    metric.encode(encoder)
}

fn open_descriptors() -> Option<i64> {
    // Since Linux 6.2 the size of the directory is its number of entries; reading 20,000 of them takes milliseconds.
    let size = fs::metadata("/proc/self/fd").ok()?.size();
    if size > 0 {
        return i64::try_from(size).ok();
    }
    let entries = fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the directory that is being read.
    i64::try_from(entries.saturating_sub(1)).ok()
}

fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
