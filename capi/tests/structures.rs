//! Tests that programs of an earlier header work with this library: structures grow at their end.

mod support;

use rnnpack_capi::*;
use std::mem::offset_of;
use std::ptr::null_mut;
use support::*;

/// The size that a structure had before its last member was added.
const EARLIER_PACK: usize = offset_of!(PackDesc, weight_type);
const EARLIER_INFO: usize = offset_of!(LayerInfo, weight_type);

#[test]
#[cfg(target_pointer_width = "64")]
fn members_keep_their_places_and_new_ones_stand_at_the_end() {
    let pack = [offset_of!(PackDesc, subnormals), offset_of!(PackDesc, isa), EARLIER_PACK];
    assert_eq!((pack, size_of::<PackDesc>()), ([8, 16, 24], 32));
    let info = [
        offset_of!(LayerInfo, op),
        offset_of!(LayerInfo, input),
        offset_of!(LayerInfo, packed_bytes),
        offset_of!(LayerInfo, subnormals),
        offset_of!(LayerInfo, flushed_weights),
        offset_of!(LayerInfo, bytes_count),
        offset_of!(LayerInfo, isa),
        EARLIER_INFO,
    ];
    assert_eq!((info, size_of::<LayerInfo>()), ([8, 24, 64, 72, 80, 88, 96, 104], 112));
}

#[test]
fn what_an_earlier_header_lacked_is_not_read() {
    let case = Case::lstm(3, 4);
    // The memory behind the earlier structure holds anything.
    let earlier = PackDesc {
        size: EARLIER_PACK,
        subnormals: RNNPACK_SUBNORMALS_FLUSH_WEIGHTS,
        isa: c"portable".as_ptr(),
        weight_type: 99,
    };
    let info = info(&layer(&LayerDesc { pack: &earlier, ..case.desc() }));
    assert_eq!((info.weight_type, info.subnormals), (RNNPACK_WEIGHT_TYPE_F32, earlier.subnormals));
    // SAFETY: the name lasts for ever.
    assert_eq!(unsafe { std::ffi::CStr::from_ptr(info.isa) }, c"portable");
}

#[test]
fn what_an_earlier_header_lacked_is_not_written() {
    let case = Case::lstm(3, 4);
    let layer = layer(&case.desc());
    let right = info(&layer);
    let mut earlier = LayerInfo { size: EARLIER_INFO, weight_type: 77, ..zeroed() };
    ok(c!(rnnpack_layer_get_info(layer.get(), &mut earlier)));
    assert_eq!((earlier.size, earlier.weight_type), (EARLIER_INFO, 77));
    let members = |info: &LayerInfo| (info.hidden, info.packed_bytes, info.bytes_count, info.isa);
    assert_eq!(members(&earlier), members(&right));
}

#[test]
fn sizes_beside_those_of_the_headers_are_refused() {
    let case = Case::lstm(3, 4);
    for size in [EARLIER_PACK - 1, EARLIER_PACK + 1, EARLIER_PACK + 4, size_of::<PackDesc>() + 8] {
        let pack = PackDesc { size, ..zeroed() };
        let mut made = null_mut();
        let status = c!(rnnpack_layer_new(&LayerDesc { pack: &pack, ..case.desc() }, &mut made));
        assert_eq!((status, made), (RNNPACK_STRUCT_SIZE, null_mut()), "{size}");
    }
}
