//! What every object store must do: plain functions over the port, run against each endpoint. Each works under a prefix
//! of its own, and leaves its objects there.

use batchmap::aws::store::{Store, StoreError};
use bytes::Bytes;
use futures::future::join_all;

/// Runs all of them.
pub async fn all(store: &dyn Store, root: &str) {
    but_for_races(store, root).await;
    one_creator_wins(store, &format!("{root}/create/")).await;
}

/// Runs those that do not race: some emulators look whether a key is taken and then write, and two may do so at once.
pub async fn but_for_races(store: &dyn Store, root: &str) {
    written_is_read(store, &format!("{root}/written/")).await;
    absent_is_not_found(store, &format!("{root}/absent/")).await;
    ranges(store, &format!("{root}/ranges/")).await;
    the_second_creator_loses(store, &format!("{root}/created/")).await;
    listing(store, &format!("{root}/list/")).await;
    directories(store, &format!("{root}/directories/")).await;
    files(store, &format!("{root}/files/")).await;
    deleting(store, &format!("{root}/delete/")).await;
    dates(store, &format!("{root}/dates/")).await;
}

/// A key's object is what was last written.
async fn written_is_read(store: &dyn Store, prefix: &str) {
    let key = format!("{prefix}object");
    for size in [0, 1, 5, 100_000, 3_000_000] {
        let body = Bytes::from(vec![b'x'; size]);
        store.put(&key, body.clone()).await.expect("put");
        assert_eq!(store.get(&key).await.expect("get"), body, "{size} bytes");
    }
    let all: Vec<u8> = (0..=255).collect();
    store.put(&key, Bytes::from(all.clone())).await.expect("put");
    assert_eq!(store.get(&key).await.expect("get"), all);
}

async fn absent_is_not_found(store: &dyn Store, prefix: &str) {
    let key = format!("{prefix}none");
    let is = |error: StoreError| matches!(error, StoreError::NotFound { key: asked, .. } if asked == key);
    assert!(is(store.get(&key).await.expect_err("none")));
    assert!(is(store.get_range(&key, 0..1).await.expect_err("none")));
    let file = tempfile::tempdir().expect("a temporary directory");
    assert!(is(store.download(&key, &file.path().join("file")).await.expect_err("none")));
    assert_eq!(std::fs::read_dir(file.path()).expect("read").count(), 0, "a failed download leaves no file");
    let page = store.list(prefix, None).await.expect("list");
    assert!(page.objects.is_empty() && !page.more);
    assert!(store.list_directories(prefix).await.expect("list").is_empty());
}

async fn ranges(store: &dyn Store, prefix: &str) {
    let key = format!("{prefix}object");
    for size in [10u64, 200_000] {
        let body: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        store.put(&key, Bytes::from(body.clone())).await.expect("put");
        for (start, end) in [(0, 1), (0, size), (3, 7), (size - 1, size)] {
            let part = store.get_range(&key, start..end).await.expect("range");
            assert_eq!(part, body[start as usize..end as usize], "{start}..{end} of {size}");
        }
        assert_eq!(store.get_range(&key, size - 2..size + 9).await.expect("range"), body[size as usize - 2..]);
        assert!(store.get_range(&key, 4..4).await.expect("empty").is_empty());
        let behind = store.get_range(&key, size..size + 1).await.expect_err("nothing there");
        assert!(matches!(&behind, StoreError::Refused { code, .. } if code == "InvalidRange"), "{behind}");
    }
}

async fn the_second_creator_loses(store: &dyn Store, prefix: &str) {
    let key = format!("{prefix}object");
    store.put_new(&key, Bytes::from_static(b"first")).await.expect("the first");
    let second = store.put_new(&key, Bytes::from_static(b"second")).await;
    assert!(matches!(second, Err(StoreError::AlreadyExists { .. })), "{second:?}");
    assert_eq!(store.get(&key).await.expect("get"), "first");
}

async fn one_creator_wins(store: &dyn Store, prefix: &str) {
    for round in 0..4 {
        let key = &format!("{prefix}{round}");
        let create = |i: u8| async move { (i, store.put_new(key, Bytes::from(vec![i; 3])).await) };
        let (won, lost): (Vec<_>, Vec<_>) =
            join_all((0..32).map(create)).await.into_iter().partition(|(_, r)| r.is_ok());
        assert_eq!(won.len(), 1);
        for (_, result) in lost {
            assert!(matches!(result, Err(StoreError::AlreadyExists { .. })), "{result:?}");
        }
        assert_eq!(store.get(key).await.expect("get"), vec![won[0].0; 3]);
    }
}

async fn listing(store: &dyn Store, prefix: &str) {
    let mut keys: Vec<String> = (0..2490).map(|i| format!("{prefix}{i:06}/outputs.pb")).collect();
    let hard = ["a b", "a+b", "a%2Fb", "ä/ö", "q?x=1&y", "<&>\"'", "../up", "dots/./x", "end/", "x//y"];
    keys.extend(hard.map(|name| format!("{prefix}{name}")));
    for some in keys.chunks(64) {
        join_all(some.iter().map(|key| store.put(key, Bytes::from(key.clone()))))
            .await
            .into_iter()
            .for_each(|r| r.expect("put"));
    }
    keys.sort();
    let mut listed = Vec::new();
    let mut pages = 0;
    loop {
        let after = listed.last().map(|object: &batchmap::aws::store::Listed| object.key.clone());
        let page = store.list(prefix, after.as_deref()).await.expect("list");
        assert!(page.objects.len() <= 1000);
        listed.extend(page.objects);
        pages += 1;
        if !page.more {
            break;
        }
    }
    assert_eq!(pages, 3);
    assert_eq!(listed.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), keys);
    assert!(listed.iter().all(|object| object.size == object.key.len() as u64));
    let some = store.list(&format!("{prefix}00001"), Some(&format!("{prefix}000014/"))).await.expect("list");
    assert_eq!(some.objects.len(), 6, "000014/outputs.pb to 000019/outputs.pb");
    for name in hard {
        let key = format!("{prefix}{name}");
        assert_eq!(store.get(&key).await.expect("get"), key);
    }
}

async fn directories(store: &dyn Store, prefix: &str) {
    for key in ["b/1", "b/2/3", "a/x", "a-file", "ü/1"] {
        store.put(&format!("{prefix}{key}"), Bytes::new()).await.expect("put");
    }
    assert_eq!(store.list_directories(prefix).await.expect("list"), ["a", "b", "ü"]);
    assert_eq!(store.list_directories(&format!("{prefix}b/")).await.expect("list"), ["2"]);
    let many = (0..1100).map(|i| format!("{prefix}many/{i:04}/x")).collect::<Vec<_>>();
    for some in many.chunks(64) {
        join_all(some.iter().map(|key| store.put(key, Bytes::new()))).await.into_iter().for_each(|r| r.expect("put"));
    }
    let names = store.list_directories(&format!("{prefix}many/")).await.expect("list");
    assert_eq!(names, (0..1100).map(|i| format!("{i:04}")).collect::<Vec<_>>());
}

async fn files(store: &dyn Store, prefix: &str) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    for size in [0, 1000, 20 * 1024 * 1024 + 7] {
        let body: Vec<u8> = (0..size).map(|i: usize| (i * 31 % 257) as u8).collect();
        std::fs::write(&from, &body).expect("write");
        let key = format!("{prefix}{size}");
        store.upload(&key, &from).await.expect("upload");
        std::fs::write(&to, "what was there").expect("write");
        store.download(&key, &to).await.expect("download");
        assert!(std::fs::read(&to).expect("read") == body, "{size} bytes come back as they went");
    }
    assert_eq!(std::fs::read_dir(directory.path()).expect("read").count(), 2, "nothing is left beside the files");
    let missing = store.upload(&format!("{prefix}none"), &directory.path().join("none")).await.expect_err("no file");
    assert!(missing.to_string().contains("none"), "{missing}");
}

/// More keys than one request takes; those that do not exist are no fault.
async fn deleting(store: &dyn Store, prefix: &str) {
    let keys: Vec<String> = (0..1003).map(|n| format!("{prefix}{n:04}")).collect();
    let kept = format!("{prefix}kept");
    for put in join_all(keys.iter().step_by(50).map(|key| store.put(key, Bytes::from_static(b"x")))).await {
        put.expect("put");
    }
    store.put(&kept, Bytes::from_static(b"x")).await.expect("put");
    store.delete_many(&[]).await.expect("nothing is nothing to do");
    for _ in 0..2 {
        store.delete_many(&keys).await.expect("deleted");
        let left = store.list(prefix, None).await.expect("list").objects;
        assert_eq!(left.iter().map(|object| &object.key).collect::<Vec<_>>(), [&kept]);
    }
    let odd = format!("{prefix}a b&<\u{e9}>'\"+%");
    store.put(&odd, Bytes::from_static(b"x")).await.expect("put");
    store.delete_many(std::slice::from_ref(&odd)).await.expect("deleted");
    assert!(matches!(store.get(&odd).await, Err(StoreError::NotFound { .. })));
}

/// Objects are dated by the clock that the store tells.
async fn dates(store: &dyn Store, prefix: &str) {
    // Whole seconds, of both.
    let slack = 2000;
    let before = store.now().await.expect("a time");
    store.put(&format!("{prefix}a"), Bytes::from_static(b"x")).await.expect("put");
    let after = store.now().await.expect("a time");
    let listed = store.list(prefix, None).await.expect("list").objects[0].modified_ms;
    assert!(before <= listed + slack && listed <= after + slack, "{before} {listed} {after}");
}
