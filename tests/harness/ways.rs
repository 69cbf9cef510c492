//! Ways in which editors, scripts and orchestrators change policy files, and ways in which the files become invalid.

use rustix::process::geteuid;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The path of the policy file in every layout, relative to the root of the layout.
pub(crate) const POLICY: &str = "conf/policy.json";

/// One way to write a text to [`POLICY`], whatever exists before. The file, or its directory, may afterwards be a link.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) why: &'static str,
    write: fn(&Path, &str),
    /// True if the policy's own directory sees an event.
    pub(crate) is_seen: bool,
}

impl Way {
    /// Puts `text` in place below `root`.
    pub(crate) fn write(&self, root: &Path, text: &str) {
        (self.write)(root, text);
        assert_eq!(fs::read_to_string(root.join(POLICY)).unwrap(), text, "{}", self.why);
    }
}

const fn seen(why: &'static str, write: fn(&Path, &str)) -> Way {
    Way { why, write, is_seen: true }
}

const fn unseen(why: &'static str, write: fn(&Path, &str)) -> Way {
    Way { why, write, is_seen: false }
}

/// Every way to replace one valid version by another.
pub(crate) const WAYS: [Way; 18] = [
    seen("rewritten in place", |root, text| fs::write(file(root), text).unwrap()),
    seen("written in small pieces", |root, text| write_in_pieces(&file(root), text)),
    seen("overwritten, then cut", |root, text| {
        let policy = File::options().write(true).create(true).truncate(false).open(file(root));
        let mut policy = policy.unwrap();
        policy.write_all(text.as_bytes()).unwrap();
        policy.set_len(text.len() as u64).unwrap();
    }),
    seen("renamed over", |root, text| rename_over(&file(root), text)),
    seen("moved away, then written", |root, text| {
        move_away(&file(root));
        fs::write(file(root), text).unwrap();
    }),
    seen("deleted, then written", |root, text| {
        clear(&file(root));
        fs::write(file(root), text).unwrap();
    }),
    seen("saved by vim", |root, text| {
        let backup = file(root).with_file_name("policy.json~");
        let has_backup = fs::rename(file(root), &backup).is_ok();
        write_in_pieces(&file(root), text);
        File::open(file(root)).unwrap().sync_all().unwrap();
        if has_backup {
            fs::remove_file(backup).unwrap();
        }
    }),
    seen("edited by sed -i", |root, text| {
        if fs::metadata(file(root)).map_or(0, |metadata| metadata.len()) == 0 {
            return fs::write(file(root), text).unwrap();
        }
        let words = ["-i.bak", "-e", &format!("1s|.*|{}|", text.trim_end()), "-e", "2,$d"];
        run("sed", words.map(OsStr::new), &file(root));
    }),
    seen("a link swapped in one step", |root, text| {
        let version = fresh(root);
        fs::write(&version, text).unwrap();
        link_over(&version, &file(root));
    }),
    seen("a link removed and made anew", |root, text| {
        let version = fresh(&folder(&root.join("elsewhere")));
        fs::write(&version, text).unwrap();
        clear(&file(root));
        symlink(version, file(root)).unwrap();
    }),
    seen("a hard link replaced", |root, text| {
        let version = fresh(&folder(&root.join("elsewhere")));
        fs::write(&version, text).unwrap();
        clear(&file(root));
        fs::hard_link(version, file(root)).unwrap();
    }),
    seen("a mounted ConfigMap", update_config_map),
    unseen("its directory removed and made anew", |root, text| {
        clear(&root.join("conf"));
        fs::write(file(root), text).unwrap();
    }),
    unseen("its directory moved away, another moved in", |root, text| {
        let new = folder(&fresh(root));
        fs::write(new.join("policy.json"), text).unwrap();
        move_away(&root.join("conf"));
        fs::rename(new, root.join("conf")).unwrap();
    }),
    unseen("its directory a link that is swapped", |root, text| {
        let version = folder(&fresh(root));
        fs::write(version.join("policy.json"), text).unwrap();
        if !root.join("conf").is_symlink() {
            clear(&root.join("conf"));
        }
        link_over(&version, &root.join("conf"));
    }),
    unseen("written where a link leads", |root, text| {
        let target = folder(&root.join("elsewhere")).join("target.json");
        fs::write(&target, text).unwrap();
        if fs::read_link(file(root)).ok() != Some(target.clone()) {
            link_over(&target, &file(root));
        }
    }),
    unseen("written through another hard link", |root, text| {
        let other = other_hard_link(root, text);
        fs::write(other, text).unwrap();
    }),
    unseen("written through another hard link, its time set back", |root, text| {
        let other = other_hard_link(root, text);
        let time = fs::metadata(&other).unwrap().modified().unwrap();
        fs::write(&other, text).unwrap();
        File::options().write(true).open(other).unwrap().set_modified(time).unwrap();
    }),
];

/// Replaces any version by a valid one, in one step.
pub(crate) fn replace(root: &Path, text: impl AsRef<[u8]>) {
    rename_over(&file(root), text);
}

/// One way to break or remove an existing policy.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) why: &'static str,
    /// Applies the fault; `text` is a version that would be valid.
    pub(crate) make: fn(&Path, &str),
}

const fn fault(why: &'static str, make: fn(&Path, &str)) -> Fault {
    Fault { why, make }
}

/// Every way to break the policy.
pub(crate) const FAULTS: [Fault; 16] = [
    fault("empty", |root, _| rename_over(&file(root), "")),
    fault("torn", |root, text| rename_over(&file(root), &text[..text.len() / 2])),
    fault("no JSON", |root, _| rename_over(&file(root), "# a policy\n")),
    fault("no UTF-8", |root, text| {
        rename_over(&file(root), [text.as_bytes(), b"\xff"].concat());
    }),
    fault("invalid in two places", |root, _| {
        rename_over(&file(root), "{\"version\":\"2\",\n\"default\":\"deny\",\"hied\":[]}");
    }),
    fault("too large", |root, text| {
        rename_over(&file(root), padded(text, MAX_BYTES + 1));
    }),
    fault("gone", |root, _| clear(&file(root))),
    fault("moved away", |root, _| move_away(&file(root))),
    fault("gone with its directory", |root, _| clear(&root.join("conf"))),
    fault("its directory a file", |root, _| {
        clear(&root.join("conf"));
        fs::write(root.join("conf"), "").unwrap();
    }),
    fault("a directory", |root, _| {
        clear(&file(root));
        fs::create_dir(file(root)).unwrap();
    }),
    fault("a FIFO", |root, _| {
        let new = fresh(root);
        run("mkfifo", [], &new);
        fs::rename(new, file(root)).unwrap();
    }),
    fault("a socket", |root, _| {
        let new = fresh(root);
        UnixListener::bind(&new).unwrap();
        fs::rename(new, file(root)).unwrap();
    }),
    fault("a link to itself", |root, _| link_over(&file(root), &file(root))),
    fault("a device without an end", |root, _| link_over(Path::new("/dev/zero"), &file(root))),
    fault("unreadable", |root, text| {
        let new = fresh(root);
        // Root can read the file anyway, so for root it is empty.
        fs::write(&new, if geteuid().is_root() { "" } else { text }).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o000)).unwrap();
        fs::rename(new, file(root)).unwrap();
    }),
];

/// The largest policy file (contract W7).
pub(crate) const MAX_BYTES: usize = 16 * 1024 * 1024;

/// A text padded with spaces to this length.
pub(crate) fn padded(text: &str, length: usize) -> String {
    text.to_owned() + &" ".repeat(length - text.len())
}

/// Removes everything that a fault has left, so that any way can follow.
pub(crate) fn clear_fault(root: &Path) {
    if !root.join("conf").is_dir() {
        clear(&root.join("conf"));
    } else if !fs::symlink_metadata(file(root)).is_ok_and(|metadata| metadata.is_file()) {
        clear(&file(root));
    }
}

/// The policy file, in an existing directory.
fn file(root: &Path) -> PathBuf {
    folder(&root.join("conf"));
    root.join(POLICY)
}

/// A directory that only its owner can write, created if missing.
fn folder(path: &Path) -> PathBuf {
    DirBuilder::new().mode(0o755).recursive(true).create(path).unwrap();
    path.to_owned()
}

/// An unused name in `directory`.
fn fresh(directory: &Path) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    directory.join(format!("..{}", COUNT.fetch_add(1, Ordering::Relaxed)))
}

fn rename_over(file: &Path, text: impl AsRef<[u8]>) {
    let new = fresh(file.parent().unwrap());
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

/// `ln -sfn`, in one step.
fn link_over(target: &Path, link: &Path) {
    let new = fresh(link.parent().unwrap());
    symlink(target, &new).unwrap();
    fs::rename(new, link).unwrap();
}

fn move_away(path: &Path) {
    match fs::rename(path, fresh(path.parent().unwrap())) {
        Err(error) if error.kind() != ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    }
}

/// Removes whatever exists at a path.
fn clear(path: &Path) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
}

fn write_in_pieces(file: &Path, text: &str) {
    let mut file = File::create(file).unwrap();
    text.as_bytes().chunks(16).for_each(|piece| file.write_all(piece).unwrap());
}

/// Another file that is also the policy file; if there is none, it is created with `text`.
fn other_hard_link(root: &Path, text: &str) -> PathBuf {
    let inode = |path: &Path| fs::metadata(path).map(|metadata| metadata.ino()).ok();
    let other = folder(&root.join("elsewhere")).join("linked.json");
    if inode(&other).is_none() || inode(&other) != inode(&file(root)) {
        rename_over(&other, text);
        let link = fresh(root);
        fs::hard_link(&other, &link).unwrap();
        fs::rename(link, file(root)).unwrap();
    }
    other
}

/// The kubelet's way: `policy.json` links to `..data/policy.json`, and `..data` is swapped.
fn update_config_map(root: &Path, text: &str) {
    let conf = file(root).with_file_name("");
    let version = folder(&fresh(&conf));
    fs::write(version.join("policy.json"), text).unwrap();
    let before = fs::read_link(conf.join("..data"));
    symlink(version.file_name().unwrap(), conf.join("..data_tmp")).unwrap();
    fs::rename(conf.join("..data_tmp"), conf.join("..data")).unwrap();
    let target = Path::new("..data/policy.json");
    if fs::read_link(file(root)).ok().as_deref() != Some(target) {
        link_over(target, &file(root));
    }
    if let Ok(before) = before {
        fs::remove_dir_all(conf.join(before)).unwrap();
    }
}

fn run<'a>(program: &str, words: impl IntoIterator<Item = &'a OsStr>, file: &Path) {
    let status = Command::new(program).env("LC_ALL", "C").args(words).arg(file).status().unwrap();
    assert!(status.success(), "{program} ended with {status}");
}
