//! Values that a network keeps (BEP 44): immutable ones under their hash, mutable ones under a key that signs them.
//!
//! A value is any bencoded text. It is kept, hashed and signed byte for byte, never read and written again: a
//! stranger's dictionary with keys out of order stays as it is. Differs from the BEP in refusing what it allows to
//! refuse: negative sequence numbers, and signatures that would fit more than one text (small-order points).

use super::Id;
use super::bencode::{self, Malformed};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};
use std::fmt;
use thiserror::Error;

/// A value of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A bencoded value under its own hash.
    Immutable(Vec<u8>),
    /// A value that its owner can change.
    Mutable(Signed),
}

/// One version of a mutable value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The ed25519 key of its owner.
    pub key: [u8; 32],
    /// Tells apart the values of one owner; mostly empty.
    pub salt: Vec<u8>,
    /// Counts its versions up.
    pub seq: i64,
    /// The bencoded value.
    pub value: Vec<u8>,
    /// The owner's, over salt, seq and value.
    pub signature: [u8; 64],
}

impl Item {
    /// The longest value, bencoded: what every keeper takes (BEP 44).
    pub const MAX_VALUE_BYTES: usize = 1000;
    /// The longest salt (BEP 44).
    pub const MAX_SALT_BYTES: usize = 64;

    /// Where it is kept: the SHA-1 of its value, or of its owner's key and the salt.
    pub fn target(&self) -> Id {
        match self {
            Item::Immutable(value) => Id::hashed(value),
            Item::Mutable(signed) => mutable_target(&signed.key, &signed.salt),
        }
    }

    /// Checks all that can be seen from the item alone. Whether it is the one asked for, its [`target`](Item::target)
    /// tells.
    pub fn verify(&self) -> Result<(), BadItem> {
        if self.value().len() > Item::MAX_VALUE_BYTES {
            return Err(BadItem::ValueTooBig);
        }
        bencode::decode(self.value())?;
        match self {
            Item::Immutable(_) => Ok(()),
            Item::Mutable(signed) => signed.verify(),
        }
    }

    /// The bencoded value.
    pub fn value(&self) -> &[u8] {
        match self {
            Item::Immutable(value) => value,
            Item::Mutable(signed) => &signed.value,
        }
    }

    /// Which version it is, if it can have several.
    pub fn seq(&self) -> Option<i64> {
        match self {
            Item::Immutable(_) => None,
            Item::Mutable(signed) => Some(signed.seq),
        }
    }
}

impl Signed {
    fn verify(&self) -> Result<(), BadItem> {
        if self.salt.len() > Item::MAX_SALT_BYTES {
            return Err(BadItem::SaltTooBig);
        }
        if self.seq < 0 {
            return Err(BadItem::NegativeSeq);
        }
        let key = VerifyingKey::from_bytes(&self.key).map_err(|_| BadItem::Signature)?;
        let text = signed_text(&self.salt, self.seq, &self.value);
        key.verify_strict(&text, &Signature::from_bytes(&self.signature)).map_err(|_| BadItem::Signature)
    }
}

/// Where the mutable value of this owner with this salt is kept.
pub fn mutable_target(key: &[u8; 32], salt: &[u8]) -> Id {
    Id::hashed(&[key, salt].concat())
}

/// What is signed; the first line only if there is a salt:
///
/// ```text
/// 4:salt 6:foobar
/// 3:seq i1e 1:v 12:Hello World!
/// ```
fn signed_text(salt: &[u8], seq: i64, value: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    if !salt.is_empty() {
        text.extend_from_slice(b"4:salt");
        text.extend_from_slice(&text_value(salt));
    }
    text.extend_from_slice(format!("3:seqi{seq}e1:v").as_bytes());
    text.extend_from_slice(value);
    text
}

/// The value that is this string: `5:hello`.
pub fn text_value(text: &[u8]) -> Vec<u8> {
    [format!("{}:", text.len()).as_bytes(), text].concat()
}

/// The string that is this value, if it is one.
pub fn as_text(value: &[u8]) -> Option<&[u8]> {
    bencode::decode(value).ok()?.bytes()
}

/// What its owner signs with: an ed25519 pair.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<SigningKey>);

impl Secret {
    /// What is hashed with a name, so that the pair is nobody's elsewhere. Part of the wire: it cannot change.
    const NAMED: &[u8] = b"p2p value named ";

    /// The pair that grows from `seed`.
    pub fn from_seed(seed: [u8; 32]) -> Secret {
        Secret(Box::new(SigningKey::from_bytes(&seed)))
    }

    /// The pair that everybody derives who knows the name: all of them can read and change its values.
    pub fn named(text: &str) -> Secret {
        Secret::from_seed(Sha256::new().chain_update(Secret::NAMED).chain_update(text).finalize().into())
    }

    /// The half that others check with.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// A version of the bencoded `value`. Nothing is checked: that does [`Item::verify`].
    pub fn sign(&self, salt: &[u8], seq: i64, value: &[u8]) -> Signed {
        let signature = self.0.sign(&signed_text(salt, seq, value)).to_bytes();
        Signed { key: self.public(), salt: salt.to_vec(), seq, value: value.to_vec(), signature }
    }
}

impl fmt::Debug for Secret {
    /// Whose it is, never what it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.public();
        write!(f, "secret of {a:02x}{b:02x}{c:02x}{d:02x}…")
    }
}

/// Why an item is not kept, nor believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadItem {
    /// The value cannot be read.
    #[error("the value is not bencoding: {0}")]
    Malformed(#[from] Malformed),
    /// The sequence number is below zero.
    #[error("the sequence number is negative")]
    NegativeSeq,
    /// The value has more than [`Item::MAX_VALUE_BYTES`].
    #[error("the value has more than {} bytes", Item::MAX_VALUE_BYTES)]
    ValueTooBig,
    /// Not signed by this key, or not this text.
    #[error("the signature does not fit")]
    Signature,
    /// The salt has more than [`Item::MAX_SALT_BYTES`].
    #[error("the salt has more than {} bytes", Item::MAX_SALT_BYTES)]
    SaltTooBig,
}

impl BadItem {
    /// Its KRPC error code (BEP 5 and 44).
    pub fn code(self) -> i64 {
        match self {
            BadItem::Malformed(_) | BadItem::NegativeSeq => 203,
            BadItem::ValueTooBig => 205,
            BadItem::Signature => 206,
            BadItem::SaltTooBig => 207,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
    use proptest::prelude::*;
    use sha2::Sha512;

    // BEP 44, "Test Vectors". The private key is in expanded form: no seed is known that grows into it.
    const PUBLIC: &str = "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548";
    const EXPANDED: &str = "e06d3183d14159228433ed599221b80bd0a5ce8352e4bdf0262f76786ef1c74d\
                            b7e7a9fea2c0eb269d61e3b38e450a22e754941ac78479d6c54e1faf6037881d";
    const SIGNATURE: &str = "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff\
                             1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01";
    const SALTED_SIGNATURE: &str = "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17d\
                                    df9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08";
    const VALUE: &[u8] = b"12:Hello World!";

    fn unhex<const LEN: usize>(hex: &str) -> [u8; LEN] {
        assert_eq!(hex.len(), 2 * LEN);
        std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
    }

    fn published(salt: &[u8], signature: &str) -> Signed {
        let (key, signature) = (unhex(PUBLIC), unhex(signature));
        Signed { key, salt: salt.to_vec(), seq: 1, value: VALUE.to_vec(), signature }
    }

    fn verified(signed: Signed) -> Result<(), BadItem> {
        Item::Mutable(signed).verify()
    }

    fn mine() -> Signed {
        Secret::from_seed([7; 32]).sign(b"salt", 3, VALUE)
    }

    #[test]
    fn the_published_texts_are_signed() {
        assert_eq!(signed_text(b"", 1, VALUE), b"3:seqi1e1:v12:Hello World!");
        assert_eq!(signed_text(b"foobar", 1, VALUE), b"4:salt6:foobar3:seqi1e1:v12:Hello World!");
    }

    #[test]
    fn the_published_signatures_come_out_byte_for_byte() {
        let secret = ExpandedSecretKey::from_bytes(&unhex(EXPANDED));
        let public = VerifyingKey::from(&secret);
        assert_eq!(public.to_bytes(), unhex(PUBLIC));
        for (salt, signature) in [(&b""[..], SIGNATURE), (b"foobar", SALTED_SIGNATURE)] {
            let signed = raw_sign::<Sha512>(&secret, &signed_text(salt, 1, VALUE), &public);
            assert_eq!(signed.to_bytes(), unhex(signature));
            assert_eq!(verified(published(salt, signature)), Ok(()));
        }
    }

    #[test]
    fn the_published_targets_come_out() {
        let target = |item: Item| item.target().to_string();
        let (plain, salted) = (published(b"", SIGNATURE), published(b"foobar", SALTED_SIGNATURE));
        assert_eq!(target(Item::Mutable(plain)), "4a533d47ec9c7d95b1ad75f576cffc641853b750");
        assert_eq!(target(Item::Mutable(salted)), "411eba73b6f087ca51a3795d9c8c938d365e32c1");
        assert_eq!(target(Item::Immutable(VALUE.to_vec())), "e5f96f6f38320f0f33959cb4d3d656452117aadb");
    }

    #[test]
    fn what_was_not_signed_is_refused() {
        let forged = Signed { signature: [7; 64], ..mine() };
        let other_value = Signed { value: b"12:Hello world!".to_vec(), ..mine() };
        let other_salt = Signed { salt: b"pepper".to_vec(), ..mine() };
        let no_salt = Signed { salt: vec![], ..mine() };
        let other_seq = Signed { seq: 4, ..mine() };
        let other_key = Signed { key: Secret::from_seed([8; 32]).public(), ..mine() };
        for signed in [forged, other_value, other_salt, no_salt, other_seq, other_key] {
            assert_eq!(verified(signed.clone()), Err(BadItem::Signature), "{signed:?}");
        }
        assert_eq!(verified(mine()), Ok(()));
        assert_eq!(verified(published(b"foobar", SIGNATURE)), Err(BadItem::Signature));
    }

    #[test]
    fn a_key_that_signs_everything_is_refused() {
        // The neutral point as key and as R, with S = 0, fits any text where points of small order are let through.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        let signed = Signed { key: neutral, signature, ..mine() };
        assert_eq!(verified(signed), Err(BadItem::Signature));
    }

    #[test]
    fn values_have_at_most_1000_bytes_and_salts_64() {
        let secret = Secret::from_seed([7; 32]);
        let (fits, too_big) = (text_value(&[b'x'; 996]), text_value(&[b'x'; 997]));
        assert_eq!(fits.len(), Item::MAX_VALUE_BYTES);
        assert_eq!(Item::Immutable(fits.clone()).verify(), Ok(()));
        assert_eq!(verified(secret.sign(&[0; 64], 0, &fits)), Ok(()));
        assert_eq!(Item::Immutable(too_big.clone()).verify(), Err(BadItem::ValueTooBig));
        assert_eq!(verified(secret.sign(b"", 0, &too_big)), Err(BadItem::ValueTooBig));
        assert_eq!(verified(secret.sign(&[0; 65], 0, &fits)), Err(BadItem::SaltTooBig));
    }

    #[test]
    fn sequence_numbers_reach_from_zero_to_the_largest() {
        let secret = Secret::from_seed([7; 32]);
        assert_eq!(verified(secret.sign(b"", i64::MAX, VALUE)), Ok(()));
        assert_eq!(verified(secret.sign(b"", 0, VALUE)), Ok(()));
        assert_eq!(verified(secret.sign(b"", -1, VALUE)), Err(BadItem::NegativeSeq));
        assert_eq!(Item::Mutable(mine()).seq(), Some(3));
        assert_eq!(Item::Immutable(VALUE.to_vec()).seq(), None);
    }

    #[test]
    fn any_bencoded_value_is_kept_and_nothing_else() {
        for value in ["i42e", "0:", "le", "d1:ai1e1:bl1:xee", "d1:bi1e1:ai2ee"] {
            assert_eq!(Item::Immutable(value.into()).verify(), Ok(()), "{value}");
            assert_eq!(verified(mine_with(value)), Ok(()), "{value}");
        }
        for value in ["", "hello", "5:hell", "i042e", "i-0e", "1:ab", "d1:ai1e1:ai1ee", "lllllllllllleeeeeeeeeeee"] {
            for bad in [Item::Immutable(value.into()), Item::Mutable(mine_with(value))] {
                assert!(matches!(bad.verify(), Err(BadItem::Malformed(_))), "{value}");
            }
        }
    }

    fn mine_with(value: &str) -> Signed {
        Secret::from_seed([7; 32]).sign(b"", 1, value.as_bytes())
    }

    #[test]
    fn every_fault_has_its_krpc_code() {
        let malformed = BadItem::Malformed(Malformed::Truncated);
        let faults = [malformed, BadItem::NegativeSeq, BadItem::ValueTooBig, BadItem::Signature, BadItem::SaltTooBig];
        assert_eq!(faults.map(BadItem::code), [203, 203, 205, 206, 207]);
    }

    #[test]
    fn a_name_has_one_pair_for_everybody() {
        assert_eq!(Secret::named("motd").public(), Secret::named("motd").public());
        assert_ne!(Secret::named("motd").public(), Secret::named("motd ").public());
        // Another pair would lose every value that was stored under a name.
        assert_eq!(
            Secret::named("motd").public(),
            unhex("428c657b4d951c4c0c41c5707620c1783e809edcf661bd0fe903877235deac32")
        );
    }

    #[test]
    fn secrets_are_not_printed() {
        let seed = [0xa5; 32];
        let printed = format!("{:?} {:#?}", Secret::from_seed(seed), Secret::from_seed(seed)).to_lowercase();
        assert!(!printed.contains("a5a5") && !printed.contains("165, 165"), "{printed}");
    }

    #[test]
    fn texts_come_back_out_of_their_values() {
        assert_eq!(text_value(b"hello"), b"5:hello");
        assert_eq!(as_text(b"5:hello"), Some(&b"hello"[..]));
        assert_eq!(as_text(b"i5e"), None);
        assert_eq!(as_text(b"5:hello!"), None);
    }

    proptest! {
        #[test]
        fn who_signed_is_believed(
            seed: [u8; 32],
            salt in proptest::collection::vec(any::<u8>(), 0..=64),
            seq in 0..=i64::MAX,
            text in proptest::collection::vec(any::<u8>(), 0..=996),
        ) {
            let signed = Secret::from_seed(seed).sign(&salt, seq, &text_value(&text));
            prop_assert_eq!(as_text(&signed.value), Some(&text[..]));
            prop_assert_eq!(verified(signed), Ok(()));
        }
    }
}
