//! Tests that a program can open a file, list its nodes and load layers by name.

use rnnpack_dev::onnx::fixture;
use rnnpack_onnx::{Error, File};

#[test]
fn layers_are_packed_by_name() {
    let file = File::open(fixture("dtln/model_1.onnx")).unwrap();
    let names: Vec<&str> = file.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["lstm_4", "lstm_5"]);
    let layer = file.layer("lstm_5").unwrap();
    assert_eq!((layer.shape().input, layer.shape().hidden), (128, 128));
}

#[test]
fn another_name_is_refused_with_the_names_that_there_are() {
    let file = File::open(fixture("dtln/model_1.onnx")).unwrap();
    let error = file.layer("lstm").err().unwrap();
    assert!(matches!(&error, Error::NoNode { node, known } if node == "lstm" && known.len() == 2));
    assert_eq!(error.to_string(), "node `lstm`: the recurrent nodes of the file are lstm_4, lstm_5");
}

#[test]
fn a_file_that_is_not_there_is_refused_with_its_path() {
    let error = File::open("no/such.onnx").unwrap_err();
    assert!(matches!(&error, Error::File { path, .. } if path == "no/such.onnx"), "{error}");
}

#[test]
fn what_an_error_displays_is_not_its_source_too() {
    let kernel = rnnpack::Error::from(rnnpack::KernelError::Zero { what: "hidden_size" });
    let error = Error::of_layer("lstm_4", kernel);
    let displayed = error.to_string();
    let source = std::error::Error::source(&error).map(ToString::to_string);
    assert!(source.is_none_or(|source| !displayed.contains(&source)), "{displayed}");
}
