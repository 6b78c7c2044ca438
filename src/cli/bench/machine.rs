//! On what it ran.

use std::env;
use std::fs;
use std::thread;

/// A machine, as far as it bears on times.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Processors that we may use.
    pub cores: usize,
    /// Their model.
    pub cpu: String,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// The kernel.
    pub kernel: String,
    /// Mean of those who wanted a processor in the last minute.
    pub load: f64,
}

impl Machine {
    /// This one, now. What the system does not tell is empty.
    pub fn this() -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Machine {
            cores: thread::available_parallelism().map_or(0, usize::from),
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| env::consts::ARCH.to_owned()),
            memory_bytes: field(&read("/proc/meminfo"), "MemTotal")
                .and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok())
                .map_or(0, |kib| kib << 10),
            kernel: format!("{} {}", env::consts::OS, read("/proc/sys/kernel/osrelease").trim()),
            load: read("/proc/loadavg").split(' ').next().and_then(|text| text.parse().ok()).unwrap_or_default(),
        }
    }

    /// `2 cores (AMD …), 23.5 GB, linux 6.1.0, load 0.4`.
    pub fn line(&self) -> String {
        let Machine { cores, cpu, memory_bytes, kernel, load } = self;
        format!("{cores} cores ({cpu}), {}, {kernel}, load {load:.1}", crate::cli::tell::size(*memory_bytes))
    }
}

/// What stands after a name and a colon.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_after_their_names() {
        let text = "processor\t: 0\nmodel name\t: A: B 3000\nMemTotal:  16 kB\n";
        assert_eq!(field(text, "model name").as_deref(), Some("A: B 3000"));
        assert_eq!(field(text, "MemTotal").as_deref(), Some("16 kB"));
        assert_eq!(field(text, "flags"), None);
        assert!(Machine::this().cores > 0);
    }
}
