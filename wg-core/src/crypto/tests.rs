//! Known answers, Wycheproof, and one provider against the other.
