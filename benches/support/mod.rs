//! Shared by the benchmarks: description of the machine, CPU time, test slides.

#![allow(dead_code, reason = "each benchmark uses a part of this module")]

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Returns one line that describes the machine and the build.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    let cpu = field(&read("/proc/cpuinfo"), "model name");
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let memory = memory.trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / (1 << 20) as f64;
    let load = read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let build = if cfg!(debug_assertions) { "dev profile" } else { "release profile" };
    format!("{cpu}, {cores} cores, {memory:.0} GiB, load {load} at start, {build}")
}

/// Returns the CPU time that this thread has used so far.
pub fn thread_cpu() -> Duration {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Returns the CPU time that all threads of this process have used so far.
pub fn process_cpu() -> Duration {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Returns the CPU time in seconds of the quickest of `rounds` rounds, after one that is not counted: it is disturbed less
/// by other programs than time on the clock.
pub fn least_process_cpu(rounds: usize, mut round: impl FnMut()) -> f64 {
    round();
    let timed = (0..rounds).map(|_| {
        let begun = process_cpu();
        round();
        (process_cpu() - begun).as_secs_f64()
    });
    timed.fold(f64::INFINITY, f64::min)
}

/// Returns a tile of 224 px, which looks different for each seed.
pub fn tile(seed: u32) -> image::RgbImage {
    image::RgbImage::from_fn(224, 224, |x, y| image::Rgb([(x * seed) as u8, (y + seed) as u8, (x * y) as u8]))
}

#[expect(unsafe_code, reason = "the clock is a C call")]
fn clock(id: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clocks exist on Linux, and `time` is a valid pointer for the call to write to.
    let outcome = unsafe { libc::clock_gettime(id, &mut time) };
    assert_eq!(outcome, 0, "the clock can be read");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Returns the slide that `HISTOKIN_BENCH_SLIDE` names, else the largest available one: a development slide in
/// `../shared/data` or a demonstration slide.
pub fn slide() -> PathBuf {
    if let Some(path) = std::env::var_os("HISTOKIN_BENCH_SLIDE") {
        return path.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = root.join("../shared/data/wsi/PA01_pdac_pancreas_duodenum.tif");
    if shared.exists() { shared } else { root.join("assets/slides/CMU-1-Small-Region-rotated-cut.tif") }
}

/// Returns all available slides: the development slides in `../shared/data`, else the demonstration slides.
pub fn slides() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let of = |folder: &str| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|end| end == "tif" || end == "svs"));
        paths.sort();
        paths
    };
    let shared = of("../shared/data/wsi");
    if shared.is_empty() { of("assets/slides") } else { shared }
}

/// Returns the resident memory of this process in MiB; NaN if unknown.
pub fn resident_mib() -> f64 {
    status_mib("VmRSS:")
}

/// Returns the largest resident memory of this process so far in MiB; NaN if unknown.
pub fn peak_mib() -> f64 {
    status_mib("VmHWM:")
}

fn status_mib(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

/// Returns the quantile `p` (0 to 1) of values in ascending order; NaN if there are none.
pub fn percentile(sorted: &[f64], p: f64) -> f64 {
    let rank = (sorted.len() as f64 * p).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}
