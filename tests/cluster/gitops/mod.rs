//! GitOps: the result of a commit with each common deployment tool, and the health those tools report. A scenario
//! (`tree`) is a change made by a commit. A tool (`tool`, and one file each) gets the whole tree at each commit. `play`
//! determines the result, `matrix` has the expected ones, and `page` keeps `docs/gitops.md` current.

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
