//! Tests data that a model keeps in other files: what is read, and what is refused.

use rnnpack_dev::onnx::native::packed;
use rnnpack_dev::onnx::one::one;
use rnnpack_dev::onnx::{Graph, Msg, attr_t, external, node, sparse, tensor, tensor_i64};
use rnnpack_onnx::{Error, File, decode, decode_in, read_whole};
use std::path::{Path, PathBuf};

/// A new folder for one test. It is removed when the test passes.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("external-{test}"));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("model/below")).unwrap();
        Folder(path)
    }

    /// Writes a file of the folder.
    fn write(&self, file: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(file);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// 24 numbers that can be told apart, in the bytes of a file.
fn numbers() -> Vec<u8> {
    (0..24).flat_map(|i| (i as f32 / 8.0).to_le_bytes()).collect()
}

/// The model of one node, with W at `place`.
fn with_w(place: &[(&str, &str)]) -> Vec<u8> {
    one().stored(0, external("W", &[1, 8, 3], 1, place)).bytes()
}

/// The error for a model whose W is at `place` of a folder that holds `model/data` of 124 bytes.
fn refusal(folder: &Folder, place: &[(&str, &str)]) -> String {
    let path = folder.write("model/model.onnx", &with_w(place));
    match File::open(path) {
        Ok(_) => panic!("{place:?} is not refused"),
        Err(Error::Tensor { tensor, reason }) if tensor == "W" => reason,
        Err(e) => panic!("{place:?}: {e}"),
    }
}

#[test]
fn weights_in_another_file_are_those_in_the_model() {
    let folder = Folder::new("weights");
    let mut data = vec![7; 28];
    data.extend(numbers());
    folder.write("model/below/data", &data);
    let place = [("location", "./below/data"), ("offset", "28"), ("length", "96"), ("checksum", "x")];
    let inside: Vec<f32> = (0..24).map(|i| i as f32 / 8.0).collect();
    let inside = one().stored(0, tensor("W", &[1, 8, 3], &inside)).bytes();
    let inside = File::parse(&inside).unwrap();
    let expected = packed(&inside.nodes()[0]);
    for place in [&place[..], &place[..2]] {
        let path = folder.write("model/model.onnx", &with_w(place));
        let by_path = File::open(&path).unwrap();
        assert_eq!(packed(&by_path.nodes()[0]), expected);
        let whole = read_whole(&path).unwrap();
        assert_eq!(decode(&whole).unwrap().ir_version, 8, "other readers refuse a file without a version");
        assert_eq!(packed(&File::parse(&whole).unwrap().nodes()[0]), expected);
        let given = decode_in(&with_w(place), &folder.0.join("model")).unwrap();
        assert_eq!(given.graph.unwrap().initializer[0].raw_data, numbers());
    }
}

#[test]
fn tensors_of_attributes_inner_graphs_and_sparse_tensors_are_read_too() {
    let folder = Folder::new("everywhere");
    folder.write("model/data", &numbers());
    let place = [("location", "data"), ("offset", "4")];
    let t = external("c", &[2], 1, &place);
    let constant = node("Constant", "", &[], &["c"], &[attr_t("value", &t)]);
    let inner = Graph { nodes: vec![constant.clone()], ..Graph::default() };
    let branch = rnnpack_dev::onnx::attr_g("then_branch", &inner.msg());
    let graph = Graph { nodes: vec![constant, node("If", "", &[], &[], &[branch])], ..Graph::default() };
    let values = external("s", &[2], 1, &place);
    let sparse = sparse(&values, &tensor_i64("", &[2], &[0, 2]), &[3]);
    let bytes = rnnpack_dev::onnx::model(&graph.msg().msg(15, &sparse), 17);
    let path = folder.write("model/model.onnx", &bytes);
    let graph = rnnpack_onnx::open(&path).unwrap().graph.unwrap();
    let data =
        |graph: &rnnpack_onnx::proto::Graph| graph.node[0].attribute[0].t.as_ref().unwrap().raw_data.clone();
    assert_eq!(data(&graph), numbers()[4..12]);
    assert_eq!(data(graph.node[1].attribute[0].g.as_ref().unwrap()), numbers()[4..12]);
    let dense = [&numbers()[4..8], &[0; 4], &numbers()[8..12]].concat();
    assert_eq!((graph.initializer[0].name.as_str(), &graph.initializer[0].raw_data), ("s", &dense));
}

#[test]
fn sizes_are_checked_before_data_is_read() {
    let folder = Folder::new("sizes");
    folder.write("model/data", &[0; 124]);
    for (offset, length, words) in [
        ("32", "96", "has 124 bytes, too few for 96 from byte 32 on"),
        ("18446744073709551615", "96", "too few for 96"),
        ("18446744073709551616", "96", "`offset`"),
        ("-4", "96", "the `offset` of its external data is `-4`"),
        ("+4", "96", "`+4`"),
        ("0x4", "96", "`0x4`"),
        ("", "96", "`offset`"),
        ("0", "95", "its length is 95 bytes, where its dimensions need 96"),
        ("0", "124", "its length is 124 bytes"),
        ("0", "1e2", "the `length`"),
    ] {
        let reason = refusal(&folder, &[("location", "data"), ("offset", offset), ("length", length)]);
        assert!(reason.contains(words), "{reason}");
    }
    let twice = [("location", "data"), ("offset", "0"), ("offset", "4")];
    assert!(refusal(&folder, &twice).contains("two values for `offset`"));
    assert!(refusal(&folder, &[("offset", "4")]).contains("no `location`"));
    for (dims, dtype, words) in [
        (vec![1 << 40, 1 << 40], 1, "overflows"),
        (vec![1 << 40], 1, "too few for 4398046511104"),
        (vec![3], 8, "strings cannot be external data"),
        (vec![3], 77, "unknown element type 77"),
    ] {
        let t = external("W", &dims, dtype, &[("location", "data")]);
        let path = folder.write("model/model.onnx", &one().stored(0, t).bytes());
        let e = File::open(path).unwrap_err().to_string();
        assert!(e.starts_with("tensor `W`: ") && e.contains(words), "{e}");
    }
    let both = external("W", &[1], 1, &[("location", "data")]).bytes(9, &[0; 4]);
    let path = folder.write("model/model.onnx", &one().stored(0, both).bytes());
    assert!(File::open(path).unwrap_err().to_string().contains("in this file and in another one"));
}

#[test]
fn only_regular_files_below_the_folder_are_read() {
    let folder = Folder::new("paths");
    let secret = folder.write("secret", &numbers());
    folder.write("model/data", &numbers());
    let secret = secret.to_str().unwrap();
    for location in
        ["../secret", "below/../../secret", "below/../data", secret, "", "/etc/passwd", "..", "/dev/zero"]
    {
        let reason = refusal(&folder, &[("location", location)]);
        assert!(reason.contains("not a path below the model's folder"), "{location}: {reason}");
    }
    assert!(refusal(&folder, &[("location", "absent")]).contains("cannot be found"));
    assert!(refusal(&folder, &[("location", "a\0b")]).contains("cannot be found"));
    for location in ["below", "."] {
        assert!(refusal(&folder, &[("location", location)]).contains("no regular file"), "{location}");
    }
}

#[cfg(unix)]
#[test]
fn links_that_leave_the_folder_and_pipes_are_refused_and_links_inside_are_read() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new("links");
    let secret = folder.write("secret", &numbers());
    let data = folder.write("model/data", &numbers());
    symlink(&secret, folder.0.join("model/file")).unwrap();
    symlink(&folder.0, folder.0.join("model/up")).unwrap();
    symlink("/dev/zero", folder.0.join("model/zero")).unwrap();
    symlink(&data, folder.0.join("model/below/inside")).unwrap();
    for location in ["file", "up/secret", "zero"] {
        let reason = refusal(&folder, &[("location", location)]);
        assert!(reason.contains("a link that leaves the model's folder"), "{location}: {reason}");
    }
    let pipe = folder.0.join("model/pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(refusal(&folder, &[("location", "pipe")]).contains("no regular file"));
    let path = folder.write("model/model.onnx", &with_w(&[("location", "below/inside")]));
    File::open(&path).unwrap().layer("lstm").unwrap();
    // The folder itself may be reached through a link.
    File::open(folder.0.join("model/up/model/model.onnx")).unwrap().layer("lstm").unwrap();
}

#[test]
fn a_small_model_cannot_read_a_file_any_number_of_times() {
    let folder = Folder::new("many");
    folder.write("model/data", &[0; 4096]);
    let model = |count: usize| {
        let t = |i: usize| external(&format!("t{i}"), &[1024], 1, &[("location", "data")]);
        Graph { stored: (0..count).map(t).collect(), ..Graph::default() }.model(17)
    };
    File::open(folder.write("model/model.onnx", &model(16))).unwrap();
    let e = File::open(folder.write("model/model.onnx", &model(17))).unwrap_err();
    assert!(e.to_string().contains("more than 16 times"), "{e}");
}

#[test]
fn without_a_folder_the_message_says_to_load_by_path() {
    let bytes = with_w(&[("location", "data")]);
    let e = File::parse(&bytes).unwrap().layer("lstm").unwrap_err().to_string();
    assert!(e.contains("`W`") && e.contains("load the model by its path"), "{e}");
    let model = decode(&bytes).unwrap();
    let e = rnnpack_onnx::check_model(&model).unwrap_err().to_string();
    assert!(e.starts_with("tensor `W`: ") && e.contains("load the model by its path"), "{e}");
    // Entries that are left behind by a tool do not matter if the data is here.
    let left = tensor("W", &[1, 8, 3], &[0.5; 24]).msg(13, &Msg::default().text(1, "location"));
    File::parse(&one().stored(0, left).bytes()).unwrap().layer("lstm").unwrap();
}
