//! The reservation protocol explored state by state, driving the real decision functions.
