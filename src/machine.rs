//! What the machine has, and how its memory is given back: the one place that asks.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// Bytes of memory that this process may use: what the machine has, or less where a container
/// (a control group of Linux) says so. `None`: unknown. Asked once.
pub fn memory_bytes() -> Option<u64> {
    static MEMORY: OnceLock<Option<u64>> = OnceLock::new();
    *MEMORY.get_or_init(|| {
        let all = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        all.into_iter().chain(group_limit(Path::new("/sys/fs/cgroup"), &groups)).min()
    })
}

/// Has every buffer of 8 MB or more given back to the machine as soon as it is let go. To be called
/// before there are other threads.
///
/// glibc begins with 128 kB, but raises that with each such buffer that is let go, up to 32 MB, and what
/// is smaller it keeps for the thread that had it. Rows come in buffers of just these sizes, on several
/// threads: with state on disk a process held a third more than it needed. (At 1 MB it holds no less,
/// and the system has a third more work.)
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn give_back_large_buffers() {
    // SAFETY: sets a number of the allocator, and touches no memory of ours.
    #[allow(unsafe_code)]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 8 * 1024 * 1024);
    }
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back_large_buffers() {}

/// `MemTotal:       24681996 kB`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The least limit of the groups that the process is in, and of those above them. `groups` are lines
/// such as `0::/user.slice/a.scope` (version 2) or `7:memory:/docker/1f` (version 1).
fn group_limit(root: &Path, groups: &str) -> Option<u64> {
    let mut least = None;
    for line in groups.lines() {
        let mut words = line.splitn(3, ':').skip(1);
        let (Some(what), Some(group)) = (words.next(), words.next()) else { continue };
        let (root, file) = match what {
            "" => (root.to_owned(), "memory.max"),
            _ if what.split(',').any(|w| w == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // Inside a container the group's own path is often not there, and its root is.
        let own = root.join(group.trim_start_matches('/'));
        for folder in own.ancestors().take_while(|folder| folder.starts_with(&root)) {
            let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
            let limit = text.trim().parse::<u64>().ok();
            least = limit.into_iter().chain(least).min();
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_in_bytes() {
        let text = "MemFree: 5 kB\nMemTotal:       24681996 kB\n";
        assert_eq!(total("MemTotal: lots"), None);
        assert_eq!(total(text), Some(24_681_996 * 1024));
    }

    #[test]
    fn the_least_limit_of_all_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let limit = |groups: &str| group_limit(root.path(), groups);
        write("a/b/memory.max", "max\n");
        assert_eq!(limit("0::/a/b\n"), None);
        write("a/memory.max", "1000000\n");
        assert_eq!(limit("0::/a/b\n"), Some(1_000_000));
        write("a/b/memory.max", "2000\n");
        assert_eq!(limit("0::/a/b\n"), Some(2000));
        assert_eq!(limit("0::/elsewhere\n"), None);
        write("memory/memory.limit_in_bytes", "700\n");
        assert_eq!(limit("3:cpu,memory:/not/there\n0::/a\n"), Some(700));
        assert_eq!(limit("3:cpu:/not/there\n"), None);
    }
}
