//! What survives in a data directory, and what is said when it cannot be used.

mod scene;

use std::path::Path;
use std::process::Command;

use scene::{LIMIT, node, started, until};
use tidings::{DataDirFault, Error, Node, StartError};
use tokio::time::timeout;

#[tokio::test]
async fn a_restart_keeps_identity_and_entries_and_raises_the_incarnation() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("not/there/yet");
    let (mut id, mut incarnation) = (None, 0);
    for life in 0..3u8 {
        let a = started(node("a").data_dir(&home)).await;
        let me = a.query(|view, _| view.me()).await.unwrap();
        assert!(me.incarnation > incarnation, "{} after {incarnation}", me.incarnation);
        incarnation = me.incarnation;
        assert_eq!(*id.get_or_insert(a.id()), a.id());
        let kv = a.keyspace("kv");
        for before in 0..life {
            assert_eq!(kv.get([before]).await.unwrap(), Some(vec![before; 1000]));
        }
        assert_eq!(kv.get("gone").await.unwrap(), None);
        kv.set([life], vec![life; 1000]).await.unwrap();
        kv.set("gone", "soon").await.unwrap();
        kv.delete("gone").await.unwrap();
        timeout(LIMIT, a.stop()).await.unwrap();
    }
}

#[tokio::test]
async fn without_a_directory_every_start_is_a_new_life() {
    let (a, b) = (started(node("a")).await, started(node("a")).await);
    assert_ne!(a.id(), b.id());
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_directory_in_use_is_named_and_free_again_after_stop() {
    let dir = tempfile::tempdir().unwrap();
    let a = started(node("a").data_dir(dir.path())).await;
    let refused = node("b").data_dir(dir.path()).start().await.unwrap_err();
    assert!(matches!(refused, StartError::DataDir { reason: DataDirFault::InUse, .. }));
    assert!(refused.to_string().contains(dir.path().to_str().unwrap()), "{refused}");
    assert!(!refused.misuse());
    a.keyspace("kv").set("k", "v").await.unwrap();
    a.stop().await;
    let again = started(node("a").data_dir(dir.path())).await;
    assert_eq!(again.keyspace("kv").get("k").await.unwrap(), Some(b"v".to_vec()));
    again.stop().await;
}

#[tokio::test]
async fn a_file_in_place_of_the_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    for path in [file.clone(), file.join("below")] {
        let refused = node("a").data_dir(&path).start().await.unwrap_err();
        let named =
            matches!(&refused, StartError::DataDir { reason: DataDirFault::NotADirectory, .. });
        assert!(named, "{refused}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"not a directory");
}

#[tokio::test]
async fn a_corrupt_file_is_named_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let a = started(node("a").data_dir(dir.path())).await;
    a.keyspace("kv").set("k", vec![7; 10_000]).await.unwrap();
    a.stop().await;
    let path = dir.path().join("tidings.redb");
    let whole = std::fs::read(&path).unwrap();

    let mut garbage = whole.clone();
    garbage.iter_mut().enumerate().for_each(|(i, b)| *b = (i * 31) as u8);
    let cut = whole[..whole.len() / 2].to_vec();
    for bad in [garbage, cut, b"short".to_vec(), whole[..9].to_vec(), vec![]] {
        std::fs::write(&path, &bad).unwrap();
        let refused = node("a").data_dir(dir.path()).start().await.unwrap_err();
        let corrupt =
            matches!(&refused, StartError::DataDir { reason: DataDirFault::Corrupt(_), .. });
        assert!(corrupt, "{refused}");
        assert!(std::fs::read(&path).unwrap() == bad, "left as it was: {refused}");
    }

    std::fs::write(&path, &whole).unwrap();
    let again = started(node("a").data_dir(dir.path())).await;
    assert!(again.keyspace("kv").get("k").await.unwrap().is_some());
    again.stop().await;
}

#[tokio::test]
async fn a_crash_while_the_directory_is_made_leaves_it_usable() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tidings.redb.new"), vec![0; 5000]).unwrap();
    let a = started(node("a").data_dir(dir.path())).await;
    a.keyspace("kv").set("k", "v").await.unwrap();
    a.stop().await;
}

/// On a small file system of its own; needs the right to mount one.
#[tokio::test]
async fn a_full_disk_is_named_and_the_node_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mount) = SmallDisk::mount(dir.path()) else {
        println!("skipped: no right to mount a small file system");
        return;
    };
    let ballast = dir.path().join("ballast");
    let home = dir.path().join("home");

    std::fs::write(&ballast, vec![0; 8 << 20]).unwrap_err(); // larger than the disk: fills it
    let refused = node("a").data_dir(&home).start().await.unwrap_err();
    let full = matches!(&refused, StartError::DataDir { reason: DataDirFault::Full(_), .. });
    assert!(full, "{refused}");
    std::fs::remove_file(&ballast).unwrap();

    let a = started(node("a").data_dir(&home)).await;
    let kv = a.keyspace("kv");
    kv.set("before", "kept").await.unwrap();
    std::fs::write(&ballast, vec![0; 8 << 20]).unwrap_err();
    let refused = fill(&a).await;
    assert!(matches!(refused, Error::Refused(_)), "{refused}");
    assert_eq!(a.members().await.unwrap().len(), 1, "it goes on");

    std::fs::remove_file(&ballast).unwrap();
    until("writes are accepted again", || async { kv.set("after", "kept").await.is_ok() }).await;
    a.stop().await;
    let again = started(node("a").data_dir(&home)).await;
    let kv = again.keyspace("kv");
    assert_eq!(kv.get("before").await.unwrap(), Some(b"kept".to_vec()));
    assert_eq!(kv.get("after").await.unwrap(), Some(b"kept".to_vec()));
    again.stop().await;
}

/// Writes until a write is refused.
async fn fill(node: &Node) -> Error {
    for i in 0..64u8 {
        let value = vec![i; 100_000];
        let set = node.keyspace("kv");
        if let Err(refused) = timeout(LIMIT, set.set([b'f', i % 4], value)).await.unwrap() {
            return refused;
        }
    }
    panic!("a full disk accepted every write");
}

struct SmallDisk<'a>(&'a Path);

impl SmallDisk<'_> {
    fn mount(at: &Path) -> Option<SmallDisk<'_>> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(at);
        let mounted = mount.output().is_ok_and(|out| out.status.success());
        mounted.then_some(SmallDisk(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}
