//! The bytes in a sealed file, any range of them without the rest.

use super::header::{HEADER_BYTES, Header};
use super::{CHUNK_BYTES, ChunkCipher, SEALED_CHUNK_BYTES, SealError, SealKey, TAG_BYTES};
use std::io::{self, Read, Seek, SeekFrom, Write};

/// A sealed file that is open for reading. Holds one chunk in memory.
pub struct Unsealed<F> {
    file: F,
    cipher: ChunkCipher,
    extent: Extent,
    /// The chunk that `buffer` has, decrypted.
    loaded: Option<u64>,
    buffer: Vec<u8>,
}

impl<F: Read + Seek> Unsealed<F> {
    /// Reads the header and the last chunk: from here on the length is known to be true. With a passphrase that takes
    /// the time and memory that the header demands, by default half a second and 256 MiB.
    pub fn open(mut file: F, key: &SealKey) -> Result<Unsealed<F>, SealError> {
        let file_bytes = file.seek(SeekFrom::End(0)).map_err(SealError::Source)?;
        file.rewind().map_err(SealError::Source)?;
        let mut head = Vec::with_capacity(HEADER_BYTES);
        (&mut file).take(HEADER_BYTES as u64).read_to_end(&mut head).map_err(SealError::Source)?;
        let (header, check) = Header::decode(&head)?;
        let keys = header.right_keys(&check, key)?;
        let cipher = ChunkCipher::new(&keys.chunks, header.nonce_prefix);

        let extent = Extent::of(file_bytes.saturating_sub(HEADER_BYTES as u64))?;
        let buffer = Vec::with_capacity(SEALED_CHUNK_BYTES);
        let mut unsealed = Unsealed { file, cipher, extent, loaded: None, buffer };
        unsealed.load(extent.last_chunk)?;
        Ok(unsealed)
    }

    /// How long the file was before it was sealed.
    pub fn len_bytes(&self) -> u64 {
        self.extent.last_chunk * CHUNK_BYTES as u64 + self.extent.last_bytes as u64
    }

    /// Fills `buf` with the bytes from `offset` on; less of it, down to nothing, only where the file ends. Returns how
    /// many bytes it has. After an error what is in `buf` is of no use.
    pub fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, SealError> {
        let wanted = self.len_bytes().saturating_sub(offset).min(buf.len() as u64) as usize;
        let mut done = 0;
        while done < wanted {
            let at = offset + done as u64;
            self.load(at / CHUNK_BYTES as u64)?;
            let from = &self.buffer[(at % CHUNK_BYTES as u64) as usize..];
            let fitting = from.len().min(wanted - done);
            buf[done..][..fitting].copy_from_slice(&from[..fitting]);
            done += fitting;
        }
        Ok(done)
    }

    /// Writes the whole file, from its beginning. Returns its length. What came before an error is genuine, and not all.
    pub fn copy_to(&mut self, sink: &mut impl Write) -> Result<u64, SealError> {
        for chunk in 0..=self.extent.last_chunk {
            self.load(chunk)?;
            sink.write_all(&self.buffer).map_err(SealError::Sink)?;
        }
        Ok(self.len_bytes())
    }

    fn load(&mut self, chunk: u64) -> Result<(), SealError> {
        if self.loaded == Some(chunk) {
            return Ok(());
        }
        self.loaded = None;
        let last = chunk == self.extent.last_chunk;
        let sealed_bytes = if last { self.extent.last_bytes + TAG_BYTES } else { SEALED_CHUNK_BYTES };
        self.buffer.resize(sealed_bytes, 0);
        let at = HEADER_BYTES as u64 + chunk * SEALED_CHUNK_BYTES as u64;
        let read = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.read_exact(&mut self.buffer));
        read.map_err(|error| match error.kind() {
            // It was longer when it was opened.
            io::ErrorKind::UnexpectedEof => SealError::Damaged { chunk },
            _ => SealError::Source(error),
        })?;
        self.cipher.open(chunk, last, &mut self.buffer)?;
        self.loaded = Some(chunk);
        Ok(())
    }
}

/// How far a file goes, by the length of its sealed form: true only if its last chunk can be opened as such.
#[derive(Clone, Copy)]
struct Extent {
    last_chunk: u64,
    /// How much of the file is in the last chunk.
    last_bytes: usize,
}

impl Extent {
    /// `chunk_bytes`: the length of all sealed chunks together.
    fn of(chunk_bytes: u64) -> Result<Extent, SealError> {
        let last_chunk = chunk_bytes.div_ceil(SEALED_CHUNK_BYTES as u64).saturating_sub(1);
        let sealed_bytes = (chunk_bytes - last_chunk * SEALED_CHUNK_BYTES as u64) as usize;
        let last_bytes = sealed_bytes.checked_sub(TAG_BYTES).ok_or(SealError::Damaged { chunk: last_chunk })?;
        if last_bytes == 0 && last_chunk > 0 {
            return Err(SealError::Damaged { chunk: last_chunk });
        }
        Ok(Extent { last_chunk, last_bytes })
    }
}
