//! Reading a body: once, under a cap and a deadline.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::error::Error;

/// How many caps of an oversized body are read and thrown away, so that its sender gets to see the answer instead of
/// a connection reset.
const DRAINED_CAPS: usize = 16;

/// Reads a whole body of at most `bytes_max` bytes within `deadline`, whatever length it claims to have.
pub(crate) async fn read(body: Body, bytes_max: usize, deadline: Duration) -> Result<Bytes, Error> {
    tokio::time::timeout(deadline, collect(body, bytes_max)).await.map_err(|_| Error::BodyTimeout(deadline))?
}

async fn collect(mut body: Body, bytes_max: usize) -> Result<Bytes, Error> {
    let drained_max = bytes_max.saturating_mul(DRAINED_CAPS);
    if body.size_hint().lower() > drained_max as u64 {
        return Err(Error::BodyTooLarge { bytes_max });
    }
    // A body that came in one piece, as most do, is not copied.
    let Some(first) = next_chunk(&mut body).await? else { return Ok(Bytes::new()) };
    let mut length = first.len();
    let mut pieces = Pieces::One(first);
    while let Some(chunk) = next_chunk(&mut body).await? {
        length += chunk.len();
        if length <= bytes_max {
            pieces = pieces.with(&chunk);
        } else if length > drained_max {
            break;
        }
    }
    if length > bytes_max { Err(Error::BodyTooLarge { bytes_max }) } else { Ok(pieces.into_bytes()) }
}

/// What becomes of a body that turned out to be large.
pub(crate) enum Large<T> {
    /// It is kept, and with it what it was let in with.
    Kept(T),
    /// It is read and forgotten, and this is told in the end: an early answer would meet a sender that still sends.
    Forgotten(Box<dyn Forgotten>),
}

/// What is made of the bytes of a body that is not kept.
pub(crate) trait Forgotten: Send {
    /// Some more of them.
    fn see(&mut self, bytes: &[u8]);
    /// Why it is not kept.
    fn end(self: Box<Self>) -> Error;
}

impl Forgotten for Error {
    fn see(&mut self, _bytes: &[u8]) {}

    fn end(self: Box<Self>) -> Error {
        *self
    }
}

/// Reads a whole body of at most `bytes_max` bytes within `deadline`. Once it has more than `small_max`, `large` decides
/// about it.
pub(crate) async fn read_large<T>(
    body: Body,
    (small_max, bytes_max): (usize, usize),
    deadline: Duration,
    large: impl FnOnce() -> Large<T>,
) -> Result<(Bytes, Option<T>), Error> {
    let reading = collect_large(body, small_max, bytes_max, large);
    tokio::time::timeout(deadline, reading).await.map_err(|_| Error::BodyTimeout(deadline))?
}

async fn collect_large<T>(
    mut body: Body,
    small_max: usize,
    bytes_max: usize,
    large: impl FnOnce() -> Large<T>,
) -> Result<(Bytes, Option<T>), Error> {
    let drained_max = bytes_max.saturating_add(small_max.saturating_mul(DRAINED_CAPS));
    if body.size_hint().lower() > drained_max as u64 {
        return Err(Error::BodyTooLarge { bytes_max });
    }
    let (mut kept, mut length, mut undecided, mut decided) = (BytesMut::new(), 0_usize, Some(large), None);
    while let Some(chunk) = next_chunk(&mut body).await? {
        length = length.saturating_add(chunk.len());
        if length > small_max
            && let Some(large) = undecided.take()
        {
            let mut large = large();
            if let Large::Forgotten(forgotten) = &mut large {
                forgotten.see(&std::mem::take(&mut kept));
            }
            decided = Some(large);
        }
        match &mut decided {
            _ if length > drained_max => break,
            _ if length > bytes_max => kept = BytesMut::new(),
            Some(Large::Forgotten(forgotten)) => forgotten.see(&chunk),
            Some(Large::Kept(_)) | None => kept.extend_from_slice(&chunk),
        }
    }
    match decided {
        _ if length > bytes_max => Err(Error::BodyTooLarge { bytes_max }),
        Some(Large::Forgotten(forgotten)) => Err(forgotten.end()),
        Some(Large::Kept(with)) => Ok((kept.freeze(), Some(with))),
        None => Ok((kept.freeze(), None)),
    }
}

async fn next_chunk(body: &mut Body) -> Result<Option<Bytes>, Error> {
    while let Some(frame) = body.frame().await {
        match frame.map_err(|error| Error::BodyBroken(error.to_string()))?.into_data() {
            Ok(chunk) => return Ok(Some(chunk)),
            Err(_trailers) => {}
        }
    }
    Ok(None)
}

enum Pieces {
    One(Bytes),
    Many(BytesMut),
}

impl Pieces {
    fn with(self, chunk: &[u8]) -> Pieces {
        let mut all = match self {
            Pieces::One(first) => BytesMut::from(&first[..]),
            Pieces::Many(all) => all,
        };
        all.extend_from_slice(chunk);
        Pieces::Many(all)
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Pieces::One(first) => first,
            Pieces::Many(all) => all.freeze(),
        }
    }
}
