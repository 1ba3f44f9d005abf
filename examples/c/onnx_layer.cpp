// The recurrent layers of an ONNX file, each run over a batch of sequences of different lengths.
//
//   c++ -std=c++17 onnx_layer.cpp $(pkg-config --cflags --libs rnnpack) && ./a.out model.onnx
#include <rnnpack.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

void check(rnnpack_status status) {
    if (status != RNNPACK_OK) {
        throw std::runtime_error(rnnpack_message());
    }
}

struct Free {
    void operator()(rnnpack_onnx *onnx) const { rnnpack_onnx_free(onnx); }
    void operator()(rnnpack_layer *layer) const { rnnpack_layer_free(layer); }
    void operator()(rnnpack_state *state) const { rnnpack_state_free(state); }
    void operator()(rnnpack_scratch *scratch) const { rnnpack_scratch_free(scratch); }
};

template <class Handle>
using Owned = std::unique_ptr<Handle, Free>;

Owned<rnnpack_onnx> open(const char *path) {
    rnnpack_onnx *onnx = nullptr;
    check(rnnpack_onnx_open(path, &onnx));
    return Owned<rnnpack_onnx>(onnx);
}

// Three sequences of 10, 7 and 0 steps, through all directions of the layer.
void run(const rnnpack_layer *layer, rnnpack_scratch *scratch) {
    rnnpack_layer_info info{};
    info.size = sizeof info;
    check(rnnpack_layer_get_info(layer, &info));

    const std::vector<std::int32_t> lens{10, 7, 0};
    const std::size_t time = 10, batch = lens.size();
    rnnpack_state *made = nullptr;
    check(rnnpack_state_new(layer, batch, &made));
    const Owned<rnnpack_state> state(made);

    std::vector<float> x(batch * time * info.input), y(batch * time * info.directions * info.hidden);
    for (std::size_t i = 0; i < x.size(); i++) {
        x[i] = static_cast<float>(i % 17) / 17.0F - 0.5F;
    }
    rnnpack_forward_desc call{};
    call.size = sizeof call;
    call.time = time;
    call.batch = batch;
    call.layout = RNNPACK_BATCH_MAJOR;
    call.x = x.data();
    call.x_count = x.size();
    call.y = y.data();
    call.y_count = y.size();
    call.lens = lens.data();
    call.lens_count = lens.size();
    check(rnnpack_forward(layer, state.get(), scratch, &call));

    double square = 0;
    for (const float value : y) {
        square += static_cast<double>(value) * static_cast<double>(value);
    }
    std::printf("  %zu bytes for %s, norm of y %g\n", info.packed_bytes, info.isa, std::sqrt(square));
    const std::size_t row = info.directions * info.hidden;
    for (std::size_t i = 7 * row; i < 10 * row; i++) {
        if (y[time * row + i] != 0.0F) {
            throw std::runtime_error("y goes on after the end of a sequence");
        }
    }
}

void list(const char *path) {
    const Owned<rnnpack_onnx> onnx = open(path);
    rnnpack_scratch *made = nullptr;
    check(rnnpack_scratch_new(&made));
    const Owned<rnnpack_scratch> scratch(made);  // one for all layers
    std::size_t count = 0;
    check(rnnpack_onnx_count(onnx.get(), &count));
    for (std::size_t i = 0; i < count; i++) {
        rnnpack_node_info node{};
        node.size = sizeof node;
        check(rnnpack_onnx_get_node(onnx.get(), i, &node));
        std::printf("%s\n", node.name);
        if (node.refusal != nullptr) {
            std::printf("  not computed: %s\n", node.refusal);
            continue;
        }
        rnnpack_layer *layer = nullptr;
        check(rnnpack_onnx_layer(onnx.get(), node.name, nullptr, &layer));
        run(Owned<rnnpack_layer>(layer).get(), scratch.get());
    }
}

}  // namespace

int main(int count, char **arguments) {
    if (count != 2) {
        std::fprintf(stderr, "usage: %s model.onnx\n", count > 0 ? arguments[0] : "onnx_layer");
        return 2;
    }
    try {
        list(arguments[1]);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
