//! Reserves memory only if the system can give it.
//!
//! Linux promises more memory than it has, and ends a process that uses what was promised. So an allocation that
//! succeeds proves nothing. Every buffer whose size a caller chooses is reserved here: from 64 MiB on, the
//! size is compared with what the system says it can give. Other systems, and programs without the feature `std`, have
//! only the allocator's answer.

use alloc::vec::Vec;

/// The smallest allocation that is compared with the free memory, in bytes. A smaller one is given at once: filling
/// this many bytes takes a hundred times as long as asking.
const CHECKED: usize = 64 << 20;

/// Reserves room for `more` elements behind those of `v`. `None`, with nothing changed, if the allocator refuses, or
/// if the system has less memory than that. On Linux this is what `/proc/meminfo` and the limits of the process's
/// control groups say at this moment; another process may still take it.
pub fn reserve<T>(v: &mut Vec<T>, more: usize) -> Option<()> {
    let grows = v.len().checked_add(more)? > v.capacity();
    let bytes = more.checked_mul(size_of::<T>())?;
    if grows && !fits(bytes) {
        return None;
    }
    v.try_reserve_exact(more).ok()
}

/// Whether the system can give this many bytes, as far as it says.
pub(crate) fn fits(bytes: usize) -> bool {
    bytes < CHECKED || free().is_none_or(|free| bytes as u64 <= free)
}

#[cfg(not(all(feature = "std", target_os = "linux")))]
fn free() -> Option<u64> {
    None
}

/// The bytes that the system can give this process. `None` if it does not say.
#[cfg(all(feature = "std", target_os = "linux"))]
fn free() -> Option<u64> {
    linux::free(&|path| std::fs::read_to_string(path).ok())
}

#[cfg(all(any(feature = "std", test), target_os = "linux"))]
mod linux {
    use alloc::format;
    use alloc::string::String;

    /// Reads a file of the system.
    type Read<'r> = &'r dyn Fn(&str) -> Option<String>;

    /// The smallest of what the machine can give and of what each control group around the process still allows.
    pub(super) fn free(read: Read<'_>) -> Option<u64> {
        let meminfo = read("/proc/meminfo")?;
        let kibibytes = |key: &str| number(&meminfo, key);
        let machine =
            (kibibytes("MemAvailable:")? + kibibytes("SwapFree:").unwrap_or(0)).saturating_mul(1024);
        let groups = read("/proc/self/cgroup").unwrap_or_default();
        Some(groups.lines().filter_map(|line| allowed(line, read)).fold(machine, u64::min))
    }

    /// What the control group in a line of `/proc/self/cgroup` (`number:controllers:path`) and those above it still
    /// allow. In a container the path may not be visible; the group at the top is then the container's.
    fn allowed(line: &str, read: Read<'_>) -> Option<u64> {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, mut path) = (parts.next()?, parts.next()?.trim_end_matches('/'));
        let (mount, limit, usage) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max", "memory.current"),
            c if c.split(',').any(|c| c == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
            }
            _ => return None,
        };
        let mut least = None;
        loop {
            let of = |name: &str| read(&format!("{mount}{path}/{name}"));
            // Without a limit, the number is the word max, or larger than any memory.
            let parse = |text: Option<String>| text?.trim().parse::<u64>().ok();
            if let (Some(limit), Some(usage)) = (parse(of(limit)), parse(of(usage))) {
                // The system drops pages of files when it needs memory.
                let stat = of("memory.stat").unwrap_or_default();
                let files = ["inactive_file", "active_file"].map(|key| number(&stat, key).unwrap_or(0));
                let used = usage.saturating_sub(files[0].saturating_add(files[1]));
                let free = limit.saturating_sub(used);
                least = Some(least.map_or(free, |least: u64| least.min(free)));
            }
            match path.rsplit_once('/') {
                Some((above, _)) => path = above,
                None => return least,
            }
        }
    }

    /// The number behind `key` at the start of a line.
    fn number(text: &str, key: &str) -> Option<u64> {
        let of = |line: &str| {
            let mut words = line.split_ascii_whitespace();
            (words.next() == Some(key)).then(|| words.next()?.parse().ok()).flatten()
        };
        text.lines().find_map(of)
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::collections::HashMap;

        fn free_of(files: &[(&str, &str)]) -> Option<u64> {
            let files: HashMap<&str, &str> = files.iter().copied().collect();
            free(&|path| files.get(path).map(|text| (*text).into()))
        }

        const MEMINFO: (&str, &str) =
            ("/proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    1000 kB\nSwapFree: 24 kB\n");

        #[test]
        fn the_machine_gives_what_is_available_and_the_swap() {
            assert_eq!(free_of(&[MEMINFO]), Some(1024 * 1024));
            assert_eq!(free_of(&[("/proc/meminfo", "MemTotal: 9000 kB\n")]), None);
            assert_eq!(free_of(&[]), None);
        }

        #[test]
        fn the_smallest_limit_of_the_groups_around_the_process_counts() {
            let group = ("/proc/self/cgroup", "0::/a/b\n");
            let of = |files: &[(&str, &str)]| free_of(&[&[MEMINFO, group], files].concat());
            let inner = [
                ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
                ("/sys/fs/cgroup/a/b/memory.current", "100\n"),
                ("/sys/fs/cgroup/a/memory.max", "5000\n"),
                ("/sys/fs/cgroup/a/memory.current", "3000\n"),
                ("/sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 500\nactive_file 300\n"),
            ];
            assert_eq!(of(&inner), Some(5000 - (3000 - 800)));
            let top = [("/sys/fs/cgroup/memory.max", "700"), ("/sys/fs/cgroup/memory.current", "300")];
            assert_eq!(of(&[&inner[..], &top].concat()), Some(400));
            // More is used than allowed.
            let over = [("/sys/fs/cgroup/memory.max", "300"), ("/sys/fs/cgroup/memory.current", "700")];
            assert_eq!(of(&over), Some(0));
        }

        #[test]
        fn groups_of_version_1_count_too() {
            let group = ("/proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/x\n0::/\n");
            let limit = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
            let used = ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1000");
            assert_eq!(free_of(&[MEMINFO, group, (limit, "6000"), used]), Some(5000));
            assert_eq!(free_of(&[MEMINFO, group, (limit, "9223372036854771712"), used]), Some(1024 * 1024));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_overflow_or_that_no_machine_has_are_refused() {
        let mut v: Vec<f32> = Vec::new();
        for more in [usize::MAX, isize::MAX as usize, isize::MAX as usize / 4] {
            assert_eq!(reserve(&mut v, more), None);
        }
        assert_eq!(v.capacity(), 0);
        assert_eq!(reserve(&mut v, 10), Some(()));
        assert!(v.capacity() >= 10);
    }

    #[cfg(all(feature = "std", target_os = "linux"))]
    #[test]
    fn more_than_is_free_is_refused_and_less_is_not() {
        let Some(free) = free() else { panic!("Linux says what is free") };
        assert!(fits(CHECKED - 1) && fits(CHECKED));
        assert!(!fits(2 * free as usize) && !fits(1 << 50));
    }
}
