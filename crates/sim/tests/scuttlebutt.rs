//! Decides that the scuttlebutt overload table and flow control meet their bars in quick form
//! (PAPERS 9); SOAK=1 runs the whole table with its full bars.

use tidings_sim::paper::find;
use tidings_sim::setup::soak;
use tidings_sim::work::Work;

#[test]
fn the_overload_table_and_flow_control_meet_their_bars() {
    let work = Work { quick: !soak(), ..Work::quiet(1) };
    let table = (find("scuttlebutt").expect("is listed").run)(&work);
    for row in &table.rows {
        println!("{:?} {}: {:.2} se {:.2} {:?}", row.pass(), row.what, row.ours, row.se, row.bar);
    }
    let missed: Vec<_> = table.rows.iter().filter(|r| r.pass() == Some(false)).collect();
    assert!(missed.is_empty(), "{missed:?}");
    assert_eq!(table.rows.len(), 4 * 4 * 3 + 3 + 6);
}
