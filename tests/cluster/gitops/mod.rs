//! GitOps: what comes of a commit with each tool that people deploy with, and what those tools call healthy.
//!
//! A scenario (`tree`) is what a commit changes. A tool (`tool`, and one file each) is given the whole tree at each
//! commit. `play` says what came of it, and `matrix` what must; `page` keeps `docs/gitops.md` to that.

mod argo;
mod cell;
mod flux;
mod health;
mod health_cases;
mod helm;
mod kubectl;
mod matrix;
mod page;
mod play;
mod tool;
mod tree;
