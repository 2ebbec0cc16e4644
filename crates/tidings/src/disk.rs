//! Decides how a node's state reaches the disk: one writer thread commits all that has gathered
//! in one durable transaction, in order.
//!
//! The loop merges each transaction of the core into one mailbox, the newest value of a key
//! winning. What is on disk is therefore always the state after some prefix of all transactions,
//! also after a `kill -9`. A batch that fails takes all with it that was handed over before the
//! core heard of the failure, so that no later transaction stands on a missing one; the core
//! sends its whole memory again. The file is opened anew for that, as the engine wants it.
//!
//! ```text
//! DIR/lock          locked as long as a node lives on this directory
//! DIR/tidings.redb  tables `meta` (format, id, replaces) and `pairs` (the core's own)
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use tidings_proto::NodeId;
use tidings_proto::io::Persist;
use tokio::sync::{mpsc, oneshot};

use crate::errors::{DataDirFault, StartError};
use crate::watch::locked;

/// What the loop hears from the writer.
#[derive(Debug)]
pub(crate) enum DiskEvent {
    Persisted {
        upto: u64,
    },
    Failed {
        seq: u64,
        fault: DataDirFault,
    },
    /// The new identity is durable; these are all pairs.
    Renewed(Recovered),
}

/// What the directory holds.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) id: NodeId,
    pub(crate) replaces: Option<NodeId>,
    pub(crate) pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The loop's end of the writer thread.
#[derive(Debug)]
pub(crate) struct Disk {
    mailbox: Arc<Mailbox>,
    events: mpsc::Receiver<DiskEvent>,
    ended: oneshot::Receiver<()>,
}

impl Disk {
    /// Opens or creates the directory. `fresh_id` is the identity of a new one, durable when
    /// this returns.
    pub(crate) async fn open(
        dir: PathBuf,
        fresh_id: NodeId,
    ) -> Result<(Disk, Recovered), StartError> {
        let mailbox = Arc::new(Mailbox::default());
        let (tell, events) = mpsc::channel(EVENTS_WAITING_MAX);
        let (opened, opening) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let (at, inbox) = (dir.clone(), mailbox.clone());
        let body = move || {
            let writer = match Files::open(&at, fresh_id) {
                Err(fault) => return drop(opened.send(Err(fault))),
                Ok((files, recovered)) => {
                    let _ = opened.send(Ok(recovered));
                    Writer { files, inbox, tell, renewal: None }
                }
            };
            writer.run();
            drop(end); // the files are closed and the lock is free
        };
        std::thread::Builder::new()
            .name("tidings-disk".to_owned())
            .spawn(body)
            .map_err(|source| StartError::System { what: "a thread for the disk", source })?;
        let gone = || DataDirFault::Corrupt("the storage engine gave up on it".to_owned());
        let recovered = opening
            .await
            .unwrap_or_else(|_| Err(gone()))
            .map_err(|reason| StartError::DataDir { path: dir, reason })?;
        Ok((Disk { mailbox, events, ended }, recovered))
    }

    /// Queues one transaction. Never waits.
    pub(crate) fn persist(&self, persist: Persist) {
        self.mailbox.put(|batch| batch.add(persist));
    }

    /// Queues a change of identity, behind all transactions so far.
    pub(crate) fn renew(&self, id: NodeId, replaces: NodeId) {
        self.mailbox.put(|batch| batch.renewal = Some((id, replaces)));
    }

    /// `None`: the writer died. Who takes a failure from here knows of it: what is persisted from
    /// then on counts again.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<DiskEvent>> {
        let event = self.events.poll_recv(cx);
        if let Poll::Ready(Some(DiskEvent::Failed { .. })) = event {
            self.mailbox.put(|batch| batch.refused = false);
        }
        event
    }

    /// Commits what is queued, closes the files and releases the lock.
    pub(crate) async fn close(mut self) {
        self.events.close();
        self.mailbox.put(|batch| batch.closing = true);
        let _ = (&mut self.ended).await;
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.mailbox.put(|batch| batch.closing = true);
    }
}

/// Where transactions gather while the writer is busy. Bounded by the distinct keys of the state,
/// which is in memory anyway; the lock is held for one merge or one take.
#[derive(Debug, Default)]
struct Mailbox {
    batch: Mutex<Batch>,
    filled: Condvar,
}

/// Several transactions as one.
#[derive(Debug, Default)]
struct Batch {
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// First and last number inside; `None` when empty.
    span: Option<(u64, u64)>,
    renewal: Option<(NodeId, NodeId)>,
    closing: bool,
    /// A write failed and the core has not heard of it: what it hands over is lost.
    refused: bool,
}

impl Batch {
    fn add(&mut self, persist: Persist) {
        if self.refused {
            return;
        }
        let first = self.span.map_or(persist.seq, |(first, _)| first);
        self.span = Some((first, persist.seq));
        self.changes.extend(persist.changes);
    }

    /// What is due; the mark of a failure stays.
    fn take(&mut self) -> Batch {
        let refused = self.refused;
        let due = std::mem::take(self);
        self.refused = refused;
        due
    }

    fn is_empty(&self) -> bool {
        self.span.is_none() && self.renewal.is_none() && !self.closing
    }
}

impl Mailbox {
    fn put(&self, change: impl FnOnce(&mut Batch)) {
        change(&mut locked(&self.batch));
        self.filled.notify_one();
    }

    /// Waits for work; a pause comes first where something failed, unless the node ends.
    fn take(&self, pause: Option<Duration>) -> Batch {
        let mut batch = locked(&self.batch);
        if let Some(pause) = pause {
            let waited = self.filled.wait_timeout_while(batch, pause, |b| !b.closing);
            batch = waited.unwrap_or_else(PoisonError::into_inner).0;
        } else {
            let waited = self.filled.wait_while(batch, |b| b.is_empty());
            batch = waited.unwrap_or_else(PoisonError::into_inner);
        }
        batch.take()
    }
}

/// The writer thread.
struct Writer {
    files: Files,
    inbox: Arc<Mailbox>,
    tell: mpsc::Sender<DiskEvent>,
    /// A change of identity that failed: tried again until it is done.
    renewal: Option<(NodeId, NodeId)>,
}

impl Writer {
    fn run(mut self) {
        loop {
            let mut batch = self.inbox.take(self.renewal.map(|_| RETRY_PAUSE));
            batch.renewal = batch.renewal.or(self.renewal.take());
            match self.files.commit(&batch).and_then(|()| self.report(&batch)) {
                Ok(()) => {}
                Err(fault) => self.failed(&batch, fault),
            }
            if batch.closing {
                return;
            }
        }
    }

    fn report(&self, done: &Batch) -> Result<(), DataDirFault> {
        if let Some((_, upto)) = done.span {
            self.say(DiskEvent::Persisted { upto });
        }
        if let Some((id, replaces)) = done.renewal {
            let pairs = self.files.pairs()?;
            self.say(DiskEvent::Renewed(Recovered { id, replaces: Some(replaces), pairs }));
        }
        Ok(())
    }

    fn failed(&mut self, batch: &Batch, fault: DataDirFault) {
        tracing::error!("{}: write failed: {fault}", self.files.dir.display());
        self.renewal = batch.renewal;
        let Some((seq, _)) = batch.span else { return };
        {
            let mut waiting = locked(&self.inbox.batch);
            waiting.changes.clear();
            waiting.span = None;
            waiting.refused = true;
        }
        self.say(DiskEvent::Failed { seq, fault });
    }

    fn say(&self, event: DiskEvent) {
        let _ = self.tell.blocking_send(event); // the loop is gone: nobody wants to know
    }
}

/// The open directory. Fields drop in order: the lock is released last.
struct Files {
    /// `None` after an error, until it could be opened again.
    database: Option<Database>,
    dir: PathBuf,
    _lock: File,
}

impl Files {
    fn open(dir: &Path, fresh_id: NodeId) -> Result<(Files, Recovered), DataDirFault> {
        fs::create_dir_all(dir)?;
        if !dir.is_dir() {
            return Err(DataDirFault::NotADirectory);
        }
        let lock =
            File::options().create(true).write(true).truncate(false).open(dir.join(LOCK_FILE))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataDirFault::InUse),
            Err(TryLockError::Error(e)) => return Err(e.into()),
        }
        let path = dir.join(DATA_FILE);
        if !path.try_exists()? {
            create(dir, &path, fresh_id)?;
        }
        let database = open_database(&path)?;
        let files = Files { database: Some(database), dir: dir.to_owned(), _lock: lock };
        let recovered = files.read()?;
        Ok((files, recovered))
    }

    fn read(&self) -> Result<Recovered, DataDirFault> {
        let read = self.database()?.begin_read().map_err(engine)?;
        let meta = read.open_table(META).map_err(engine)?;
        let get = |name: &str| -> Result<Option<Vec<u8>>, DataDirFault> {
            Ok(meta.get(name).map_err(engine)?.map(|v| v.value().to_vec()))
        };
        let short = |what: &str| DataDirFault::Corrupt(format!("{what} has the wrong length"));
        let format = get("format")?.ok_or_else(|| short("format"))?;
        let found = u32::from_le_bytes(format.try_into().map_err(|_| short("format"))?);
        if found != FORMAT {
            return Err(DataDirFault::Format { found, expected: FORMAT });
        }
        let id = get("id")?.ok_or_else(|| short("id"))?;
        let id = NodeId(id.try_into().map_err(|_| short("id"))?);
        let replaces = match get("replaces")? {
            None => None,
            Some(bytes) => Some(NodeId(bytes.try_into().map_err(|_| short("replaces"))?)),
        };
        Ok(Recovered { id, replaces, pairs: self.pairs()? })
    }

    fn pairs(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, DataDirFault> {
        let read = self.database()?.begin_read().map_err(engine)?;
        let table = read.open_table(PAIRS).map_err(engine)?;
        let mut pairs = Vec::new();
        for pair in table.iter().map_err(engine)? {
            let (key, value) = pair.map_err(engine)?;
            pairs.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(pairs)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), DataDirFault> {
        if batch.changes.is_empty() && batch.renewal.is_none() {
            return Ok(());
        }
        if self.database.is_none() {
            self.database = Some(open_database(&self.dir.join(DATA_FILE))?);
        }
        let written = write(self.database()?, batch);
        if written.is_err() {
            self.database = None; // after an I/O error the engine wants to be opened again
        }
        written
    }

    fn database(&self) -> Result<&Database, DataDirFault> {
        self.database.as_ref().ok_or_else(|| io::Error::other("the data file is closed").into())
    }
}

fn write(database: &Database, batch: &Batch) -> Result<(), DataDirFault> {
    let mut transaction = database.begin_write().map_err(engine)?;
    transaction.set_durability(Durability::Immediate).map_err(engine)?;
    {
        let mut pairs = transaction.open_table(PAIRS).map_err(engine)?;
        for (key, value) in &batch.changes {
            match value {
                Some(value) => pairs.insert(&key[..], &value[..]).map_err(engine)?,
                None => pairs.remove(&key[..]).map_err(engine)?,
            };
        }
    }
    if let Some((id, replaces)) = batch.renewal {
        let mut meta = transaction.open_table(META).map_err(engine)?;
        meta.insert("id", &id.0[..]).map_err(engine)?;
        meta.insert("replaces", &replaces.0[..]).map_err(engine)?;
    }
    transaction.commit().map_err(engine)
}

/// Makes the file under another name, so that a crash leaves either none or a whole one.
fn create(dir: &Path, path: &Path, id: NodeId) -> Result<(), DataDirFault> {
    let draft = dir.join(DRAFT_FILE);
    let made = write_fresh(&draft, id).and_then(|()| {
        fs::rename(&draft, path)?;
        sync_directory(dir)?;
        Ok(())
    });
    if made.is_err() {
        let _ = fs::remove_file(&draft);
    }
    made
}

fn write_fresh(draft: &Path, id: NodeId) -> Result<(), DataDirFault> {
    match fs::remove_file(draft) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
        _ => {}
    }
    let database = builder().create(draft).map_err(engine)?;
    let transaction = database.begin_write().map_err(engine)?;
    {
        let mut meta = transaction.open_table(META).map_err(engine)?;
        meta.insert("format", &FORMAT.to_le_bytes()[..]).map_err(engine)?;
        meta.insert("id", &id.0[..]).map_err(engine)?;
        transaction.open_table(PAIRS).map_err(engine)?;
    }
    transaction.commit().map_err(engine)
}

fn open_database(path: &Path) -> Result<Database, DataDirFault> {
    builder().open(path).map_err(engine)
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// A new name in a directory survives a power cut only once the directory is synced.
fn sync_directory(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// What the storage engine's errors mean to the operator.
fn engine(error: impl Into<redb::Error>) -> DataDirFault {
    match error.into() {
        redb::Error::DatabaseAlreadyOpen => DataDirFault::InUse,
        redb::Error::Io(e) => e.into(),
        redb::Error::Corrupted(text) => DataDirFault::Corrupt(text),
        other @ (redb::Error::PreviousIo | redb::Error::DatabaseClosed) => {
            DataDirFault::Io(io::Error::other(other.to_string()))
        }
        other => DataDirFault::Corrupt(other.to_string()),
    }
}

const PAIRS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("pairs");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const FORMAT: u32 = 1;
const LOCK_FILE: &str = "lock";
const DATA_FILE: &str = "tidings.redb";
const DRAFT_FILE: &str = "tidings.redb.new";
/// The core holds all state in memory: the file is written, and read once.
const CACHE_BYTES: usize = 1024 * 1024;
const EVENTS_WAITING_MAX: usize = 16;
/// Before a change of identity is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: NodeId = NodeId([1; 16]);

    fn set(seq: u64, key: &str, value: &[u8]) -> Persist {
        Persist { seq, changes: vec![(key.into(), Some(value.to_vec()))] }
    }

    async fn open(dir: &Path) -> (Disk, Recovered) {
        Disk::open(dir.to_owned(), FIRST).await.expect("opens")
    }

    async fn fault(dir: &Path) -> DataDirFault {
        match Disk::open(dir.to_owned(), FIRST).await {
            Err(StartError::DataDir { reason, .. }) => reason,
            other => panic!("refused with the directory named, not {other:?}"),
        }
    }

    async fn event(disk: &mut Disk) -> DiskEvent {
        let next = std::future::poll_fn(|cx| disk.poll_event(cx));
        let limit = Duration::from_secs(20);
        tokio::time::timeout(limit, next).await.expect("in time").expect("the writer lives")
    }

    async fn persisted(disk: &mut Disk, upto: u64) {
        loop {
            match event(disk).await {
                DiskEvent::Persisted { upto: n } if n >= upto => return,
                DiskEvent::Persisted { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn pairs_and_identity_survive_and_a_later_change_wins() {
        let dir = tempfile::tempdir().unwrap();
        let (mut disk, new) = open(dir.path()).await;
        assert_eq!((new.id, new.replaces, new.pairs.len()), (FIRST, None, 0));
        for seq in 1..=500 {
            disk.persist(set(seq, &format!("k{}", seq % 10), &seq.to_le_bytes()));
        }
        disk.persist(Persist { seq: 501, changes: vec![(b"k0".to_vec(), None)] });
        persisted(&mut disk, 501).await;
        disk.persist(set(502, "last", b"committed by close"));
        disk.close().await;

        let (disk, old) = Disk::open(dir.path().into(), NodeId([9; 16])).await.unwrap();
        assert_eq!(old.id, FIRST, "not the fresh one");
        assert_eq!(old.pairs.len(), 10);
        assert_eq!(old.pairs[0], (b"k1".to_vec(), 491u64.to_le_bytes().to_vec()));
        assert_eq!(old.pairs[9].0, b"last");
        disk.close().await;
    }

    #[tokio::test]
    async fn a_new_identity_comes_after_what_was_written_and_names_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let (mut disk, _) = open(dir.path()).await;
        disk.persist(set(1, "k", b"v"));
        disk.renew(NodeId([2; 16]), FIRST);
        let renewed = loop {
            match event(&mut disk).await {
                DiskEvent::Renewed(renewed) => break renewed,
                DiskEvent::Persisted { upto: 1 } => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((renewed.id, renewed.pairs.len()), (NodeId([2; 16]), 1));
        disk.close().await;
        let (_disk, recovered) = open(dir.path()).await;
        assert_eq!((recovered.id, recovered.replaces), (NodeId([2; 16]), Some(FIRST)));
    }

    #[tokio::test]
    async fn a_directory_in_use_is_refused_until_it_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, _) = open(dir.path()).await;
        assert!(matches!(fault(dir.path()).await, DataDirFault::InUse));
        disk.close().await;
        open(dir.path()).await.0.close().await;
    }

    #[tokio::test]
    async fn damage_is_named_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (mut disk, _) = open(dir.path()).await;
        for seq in 1..=20 {
            disk.persist(set(seq, &format!("key {seq}"), &vec![seq as u8; 5000]));
        }
        persisted(&mut disk, 20).await;
        disk.close().await;
        let path = dir.path().join(DATA_FILE);
        let whole = fs::read(&path).unwrap();
        let garbage = whole.iter().enumerate().map(|(i, b)| b ^ (i * 31) as u8).collect();
        let mut flipped = whole.clone();
        let inside = whole.windows(64).position(|w| w == [7; 64]).unwrap();
        flipped[inside] ^= 1;
        let mut cases = vec![garbage, flipped, b"short".to_vec(), whole[..9].to_vec(), vec![]];
        cases.extend((1..8).map(|n| whole[..whole.len() * n / 8].to_vec()));
        for bad in cases {
            fs::write(&path, &bad).unwrap();
            let fault = fault(dir.path()).await;
            assert!(matches!(fault, DataDirFault::Corrupt(_)), "{fault:?}");
            assert!(fs::read(&path).unwrap() == bad, "changed: {fault}, {} bytes", bad.len());
        }
        fs::write(&path, &whole).unwrap();
        let (disk, recovered) = open(dir.path()).await;
        assert_eq!(recovered.pairs.len(), 20);
        disk.close().await;
    }

    #[tokio::test]
    async fn a_failed_write_takes_later_ones_with_it_until_it_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let mount = |args: &[&str]| {
            let done =
                std::process::Command::new(args[0]).args(&args[1..]).arg(dir.path()).output();
            done.is_ok_and(|out| out.status.success())
        };
        if !mount(&["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs"]) {
            println!("skipped: no right to mount a small file system");
            return;
        }
        let ballast = dir.path().join("ballast");
        let home = dir.path().join("home");
        fs::write(&ballast, vec![0; 8 << 20]).unwrap_err();
        assert!(matches!(fault(&home).await, DataDirFault::Full(_)));
        fs::remove_file(&ballast).unwrap();
        let (mut disk, _) = open(&home).await;
        disk.persist(set(1, "a", b"1"));
        persisted(&mut disk, 1).await;

        fs::write(&ballast, vec![0; 8 << 20]).unwrap_err();
        disk.persist(set(2, "big", &[7; 1_500_000]));
        while !locked(&disk.mailbox.batch).refused {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        disk.persist(set(3, "small", b"lost too"));
        assert!(matches!(event(&mut disk).await, DiskEvent::Failed { seq: 2, .. }));
        fs::remove_file(&ballast).unwrap();
        disk.persist(set(4, "b", b"1"));
        persisted(&mut disk, 4).await;
        disk.close().await;
        let (disk, recovered) = open(&home).await;
        let keys: Vec<_> = recovered.pairs.iter().map(|(k, _)| &k[..]).collect();
        assert_eq!(keys, [b"a", b"b"]);
        disk.close().await;
        assert!(mount(&["umount"]));
    }
}
