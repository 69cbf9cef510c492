//! Real clients and servers, at pinned versions.

mod iteratools;
pub(crate) mod sdks;
pub(crate) mod servers;
