//! Decides that phi keeps its promise under loss: the quick form of the paper, the whole with SOAK.

use tidings_sim::paper::find;
use tidings_sim::setup::soak;
use tidings_sim::work::Work;

#[test]
fn phi_is_calibrated_under_loss_and_the_classic_forms_are_not() {
    let work = Work { quick: !soak(), ..Work::quiet(1) };
    let table = (find("phi").expect("it is listed").run)(&work);
    for row in &table.rows {
        let verdict = row.pass().map_or("", |pass| if pass { "pass" } else { "FAIL" });
        println!("{:60} {:?} {:.4} ±{:.4} {verdict}", row.what, row.paper, row.ours, row.se);
    }
    assert!(table.passed());
    assert!(table.rows.iter().filter(|r| r.pass().is_some()).count() > 50);
    assert_eq!(table.charts.len(), 6);
}
