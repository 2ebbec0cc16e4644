//! Decides which of the second article's twenty questions are answered by which experiment, with
//! the article's answer beside what is true.
