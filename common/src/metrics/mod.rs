//! What is counted, at the cost of some atomic additions a request, and what Prometheus and the status pages are shown of it.

mod counter;
mod histogram;
mod live;
mod page;
mod process;

pub use counter::Counter;
pub use histogram::{BOUNDS, Histogram, Snapshot};
pub use live::{HISTORY, Live, Point, STEP};
pub use page::{Exposition, Family, Kind, Page, Value, table};
pub use process::{PROCESS, Process};
