//! Pages of listings, bounded in number and in bytes, whatever the client asks for.

use futures::{FutureExt, StreamExt, stream};
use prost::Message;
use tonic::Status;

use crate::service::status;

/// Items of a page, also where the client names no number.
pub const MOST: usize = 1000;

/// Bytes of a page: clients take 20 MiB. One item that is larger is a page of its own.
const LARGEST: usize = 16 << 20;

/// Items read at once.
const AT_ONCE: usize = 16;

/// Which page of a listing is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    from: usize,
    limit: usize,
}

/// A page as it fills.
struct Filling<T> {
    page: Page,
    /// Where the next item stands in the listing.
    next: usize,
    items: Vec<T>,
    bytes: usize,
}

impl Page {
    /// The page that `token` (of the page before; empty for the first) and `limit` (0 for as many as there may be) name.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when the token is none of ours.
    pub fn asked(limit: u32, token: &str) -> Result<Page, Status> {
        let wrong = || status::invalid(format!("token is {token:?}: give the one of the page before"));
        let from = if token.is_empty() { 0 } else { token.parse().map_err(|_| wrong())? };
        let limit = if limit == 0 { MOST } else { (limit as usize).min(MOST) };
        Ok(Page { from, limit })
    }

    /// The page of what is at hand, and the token of the next one, empty at the end.
    pub fn of<T: Message>(self, all: impl IntoIterator<Item = T>) -> (Vec<T>, String) {
        let mut filling = Filling::new(self);
        for item in all.into_iter().skip(self.from) {
            if !filling.takes(Some(item)) {
                return filling.cut();
            }
        }
        filling.all()
    }

    /// The page of what has to be read first, and the token of the next one, empty at the end. What `read` gives nothing
    /// for is left out: it is not there after all, or not asked for.
    ///
    /// # Errors
    /// The first that `read` gives.
    pub async fn read<'r, K, T, F>(self, all: Vec<K>, read: impl Fn(K) -> F) -> Result<(Vec<T>, String), Status>
    where
        T: Message,
        F: Future<Output = Result<Option<T>, Status>> + Send + 'r,
    {
        let reads: Vec<_> = all.into_iter().skip(self.from).map(|key| read(key).boxed()).collect();
        let mut found = stream::iter(reads).buffered(AT_ONCE);
        let mut filling = Filling::new(self);
        while let Some(item) = found.next().await {
            if !filling.takes(item?) {
                return Ok(filling.cut());
            }
        }
        Ok(filling.all())
    }
}

impl<T: Message> Filling<T> {
    fn new(page: Page) -> Self {
        Filling { page, next: page.from, items: Vec::new(), bytes: 0 }
    }

    /// Takes the next item of the listing, if there is room for it.
    fn takes(&mut self, item: Option<T>) -> bool {
        if let Some(item) = item {
            let bytes = self.bytes + item.encoded_len();
            if self.items.len() >= self.page.limit || (bytes > LARGEST && !self.items.is_empty()) {
                return false;
            }
            self.bytes = bytes;
            self.items.push(item);
        }
        self.next += 1;
        true
    }

    /// What has been taken; there is more.
    fn cut(self) -> (Vec<T>, String) {
        (self.items, self.next.to_string())
    }

    /// What has been taken; there is no more.
    fn all(self) -> (Vec<T>, String) {
        (self.items, String::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idl::admin::Domain;

    fn domain(id: usize) -> Domain {
        Domain { id: id.to_string(), name: String::new() }
    }

    fn page(count: usize, limit: u32, token: &str) -> (Vec<usize>, String) {
        let (items, token) = Page::asked(limit, token).unwrap().of((0..count).map(domain));
        (items.into_iter().map(|item| item.id.parse().unwrap()).collect(), token)
    }

    #[test]
    fn pages_follow_each_other() {
        assert_eq!(page(5, 2, ""), (vec![0, 1], "2".to_owned()));
        assert_eq!(page(5, 2, "4"), (vec![4], String::new()));
        assert_eq!(page(5, 5, ""), ((0..5).collect(), String::new()));
        assert_eq!(page(5, 2, "99"), (Vec::new(), String::new()));
        for token in ["x", "-1", "1.5", " 1", "99999999999999999999999"] {
            let status = Page::asked(1, token).unwrap_err();
            assert!(status.message().starts_with("token is "), "{token}");
        }
    }

    #[test]
    fn no_number_and_an_absurd_one_are_bounded() {
        for limit in [0, u32::MAX, MOST as u32 + 1] {
            assert_eq!(page(5, limit, ""), ((0..5).collect(), String::new()));
            assert_eq!(page(MOST * 2 + 1, limit, ""), ((0..MOST).collect(), MOST.to_string()));
            assert_eq!(page(MOST * 2 + 1, limit, &(MOST * 2).to_string()), (vec![MOST * 2], String::new()));
        }
    }

    #[test]
    fn a_page_is_no_larger_than_a_client_takes() {
        let sizes = [6, 6, 6, 40, 1, 14];
        let items = || sizes.iter().map(|size| Domain { id: "x".repeat(size << 20), name: String::new() });
        let (mut token, mut pages) = (String::new(), Vec::new());
        loop {
            let (items, next) = Page::asked(0, &token).unwrap().of(items());
            pages.push(items.len());
            token = next;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(pages, [2, 1, 1, 2], "the large one is sent alone");
    }

    #[tokio::test]
    async fn what_is_left_out_takes_no_place() {
        let odd = async |token: &str| {
            let read = |id: usize| async move { Ok((id % 2 == 1).then(|| domain(id))) };
            let (items, token) = Page::asked(2, token).unwrap().read((0..7).collect(), read).await.unwrap();
            (items.into_iter().map(|item| item.id).collect::<Vec<_>>(), token)
        };
        assert_eq!(odd("").await, (vec!["1".to_owned(), "3".to_owned()], "5".to_owned()));
        assert_eq!(odd("5").await, (vec!["5".to_owned()], String::new()));
        let broken = |_: usize| async { Err::<Option<Domain>, _>(status::not_found("gone")) };
        assert!(Page::asked(2, "").unwrap().read(vec![1], broken).await.is_err());
    }
}
