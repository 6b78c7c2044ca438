//! How far a file has come, as those are told who wait for it.

use super::schema::Object;
use crate::ground::FileName;
use tokio::time::Instant;

/// A file on its way.
#[derive(Default)]
pub struct Moving {
    /// When the first bytes were seen, and how many they were.
    begun: Option<(Instant, u64)>,
    /// What was told last: it never goes back.
    told: u64,
}

impl Moving {
    /// What is told, where more has come since the last time.
    pub fn object(&mut self, file: &FileName, come: Option<(u64, u64)>) -> Option<Object> {
        // A transfer that begins later than others, or anew, has come less far.
        let (bytes, total) = come.filter(|(bytes, _)| *bytes > self.told)?;
        self.told = bytes;
        let (begun, before) = *self.begun.get_or_insert_with(|| (Instant::now(), bytes));
        let bytes_per_s = ((bytes - before) as f64 / begun.elapsed().as_secs_f64().max(0.001)) as u64;
        let eta_s = (total - bytes).checked_div(bytes_per_s);
        Some(Object::Progress { file: file.to_string(), bytes, total, bytes_per_s, eta_s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_grows() {
        let (mut moving, file) = (Moving::default(), FileName::parse("a.pdf").unwrap());
        assert_eq!(moving.object(&file, None), None);
        let first = moving.object(&file, Some((10, 100)));
        assert!(matches!(first, Some(Object::Progress { bytes: 10, total: 100, bytes_per_s: 0, eta_s: None, .. })));
        assert_eq!(moving.object(&file, Some((10, 100))), None);
        assert_eq!(moving.object(&file, Some((5, 100))), None, "another transfer has begun");
        assert!(moving.object(&file, Some((60, 100))).is_some());
    }
}
