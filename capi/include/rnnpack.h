/*
 * rnnpack: LSTM, GRU and RNN layers on CPUs.
 *
 * A layer (rnnpack_layer) holds packed weights, made of pointers or of a node of an ONNX file (rnnpack_onnx). A stack is a
 * layer made of others. A state (rnnpack_state) holds h and c of a stream, or of a batch of streams. A scratch
 * (rnnpack_scratch) is the memory that a call works in; one serves any number of layers and states. rnnpack_forward runs a
 * layer over a sequence, rnnpack_step runs one step.
 *
 * Every function but rnnpack_message returns a status, RNNPACK_OK (0) or why it failed; rnnpack_message then says it in
 * words. No function panics, aborts or throws for any arguments that keep this contract:
 *
 * - A handle is one that a function gave and that was not freed. A structure has at least as many bytes as its size says.
 *   A buffer has at least as many elements as its count says, a text ends with a NUL.
 * - While a call runs nobody writes what it reads (but for stop), and nobody uses what it writes. A call that a signal handler
 *   interrupts runs on.
 *
 * After fork all handles work in the child, but for states and scratches that another thread used at that moment: see
 * RNNPACK_FORKED.
 *
 * NULL, misaligned pointers, wrong sizes, counts and constants are no breach of it: they get a status.
 *
 * Sizes, counts and strides are in elements unless bytes are said. Numbers are IEEE-754 single precision.
 */

#ifndef RNNPACK_H
#define RNNPACK_H

#include <stddef.h>
#include <stdint.h>

/* The version of this header; rnnpack_version gives that of the library. */
#define RNNPACK_VERSION_MAJOR 0
#define RNNPACK_VERSION_MINOR 1
#define RNNPACK_VERSION_PATCH 0

/* The same as a number to compare: 1000000 * MAJOR + 1000 * MINOR + PATCH. */
#define RNNPACK_VERSION 1000

/* The same as text. */
#define RNNPACK_VERSION_STRING "0.1.0"

/* It worked. */
#define RNNPACK_OK 0

/* A pointer that is needed is NULL. */
#define RNNPACK_NULL_POINTER 1

/* The first member of a structure is not the structure's size as this library knows it. */
#define RNNPACK_STRUCT_SIZE 2

/* A constant, a flag, a name or an option is none that can be taken. */
#define RNNPACK_ARGUMENT 3

/* Sizes, counts, strides or lengths disagree with each other or with the layer, or overflow. */
#define RNNPACK_SHAPE 4

/* A pointer is not aligned for its type. */
#define RNNPACK_ALIGNMENT 5

/* Memory that is written overlaps other memory of the call, or rows of y overlap each other. */
#define RNNPACK_OVERLAP 6

/* A weight is NaN or infinite, or beyond the range of the type to store it in. */
#define RNNPACK_WEIGHTS 7

/* The node of an ONNX file is not computed here; the message names the node and its attribute, input or type. */
#define RNNPACK_UNSUPPORTED 8

/* The bytes are no ONNX model, or break the rules of ONNX. */
#define RNNPACK_ONNX 9

/* There is no file, node or row of this name or index. */
#define RNNPACK_NOT_FOUND 10

/* Memory cannot be had. */
#define RNNPACK_MEMORY 11

/* Another call uses the state or the scratch at this moment. */
#define RNNPACK_BUSY 12

/* The instruction set that is asked for, by an argument or by the variable RNNPACK_ISA, is not available here. */
#define RNNPACK_NO_ISA 13

/* Another thread used the state or the scratch when this process was forked, so that nobody knows what it holds. A state
 * works again after rnnpack_state_reset; instead of the scratch, take a new one.
 */
#define RNNPACK_FORKED 14

/* The call was stopped by its stop. */
#define RNNPACK_STOPPED 15

/* The bytes are no packed layer that can be used here; the message says why: they are altered, of another version, for
 * another instruction set.
 */
#define RNNPACK_BYTES 16

/* A defect of the library, stopped before it reached the caller. The handles of the call can only be freed. */
#define RNNPACK_INTERNAL 17

/* Subnormals: computed exactly, as the standard says. On many CPUs they cost a hundred cycles each. */
#define RNNPACK_SUBNORMALS_KEEP 0

/* Subnormals: weights that are subnormal become zero when they are packed; all else is computed exactly. */
#define RNNPACK_SUBNORMALS_FLUSH_WEIGHTS 1

/* Subnormals: weights likewise; and in calls every operation takes subnormal operands for zero and gives zero for a subnormal
 * result. The same bits come out on every x86 instruction set with fused multiply-adds.
 */
#define RNNPACK_SUBNORMALS_FLUSH 2

/* Type of W and R: f32 where pointers give them. The layer of an ONNX node has the type of 16 bits that holds each element
 * of W and R exactly, as where the file stores 16 bits, and else f32: no bit of a result depends on it. That of a
 * DynamicQuantizeLSTM node has int8, with the integers and the scales of the file.
 */
#define RNNPACK_WEIGHT_TYPE_GIVEN 0

/* Type of W and R: f32, 4 bytes. */
#define RNNPACK_WEIGHT_TYPE_F32 1

/* Type of W and R: bf16, 2 bytes, with 8 significant bits. Weights are rounded to the nearest; arithmetic is f32. */
#define RNNPACK_WEIGHT_TYPE_BF16 2

/* Type of W and R: f16, 2 bytes, with 11 significant bits and numbers to 65504. Weights are rounded to the nearest; arithmetic
 * is f32.
 */
#define RNNPACK_WEIGHT_TYPE_F16 3

/* Type of W and R: int8, 1 byte, with a scale for each row of a gate that makes its largest weight 127 or -127. Rows of x and h
 * become integers of 8 bits too, at every step and each with a scale of its own; sums of products are exact integers. A row of x
 * with NaN or an infinity makes all gates NaN.
 */
#define RNNPACK_WEIGHT_TYPE_INT8 4

/* Type of W and R: bf16, and rows of x and h are rounded to bf16 too, for the dot products of bf16 that some CPUs have. It is
 * outside of the promise of equal bits: results depend on the instruction set.
 */
#define RNNPACK_WEIGHT_TYPE_BF16_DOT 5

/* Operator: LSTM, with 4 gates. */
#define RNNPACK_LSTM 0

/* Operator: GRU, with 3 gates. */
#define RNNPACK_GRU 1

/* Operator: RNN, with 1 gate. */
#define RNNPACK_RNN 2

/* Direction: from the first step to the last. */
#define RNNPACK_FORWARD 0

/* Direction: from each sequence's own last step to the first. */
#define RNNPACK_REVERSE 1

/* Direction: both; direction 0 reads forward, direction 1 in reverse. */
#define RNNPACK_BIDIRECTIONAL 2

/* Order of the gates in w, r and b: ONNX. LSTM: input, output, forget, cell. GRU: update, reset, hidden. */
#define RNNPACK_GATES_ONNX 0

/* Order of the gates in w, r and b: PyTorch. LSTM: input, forget, cell, output. GRU: reset, update, hidden. */
#define RNNPACK_GATES_PYTORCH 1

/* Layout: x is [T, B, I], y is [T, D, B, H]. */
#define RNNPACK_TIME_MAJOR 0

/* Layout: x is [B, T, I], y is [B, T, D, H]. */
#define RNNPACK_BATCH_MAJOR 1

/* Threads: the calling thread alone. */
#define RNNPACK_THREADS_NONE 0

/* Threads: the rows of the batch are shared out over a pool that the process has once, with a thread for each CPU (or as
 * many as the variable RAYON_NUM_THREADS says). It starts with the first call that has work for it. A call of little work
 * stays on the calling thread; so does every call in a child process of one that has started the pool. Results have the same
 * bits. Not for real time.
 */
#define RNNPACK_THREADS_POOL 1

/* A layer with packed weights, or a stack of layers on top of each other. It never changes: many threads may use one at
 * once, each with its own state and scratch.
 */
typedef struct rnnpack_layer rnnpack_layer;

/* The recurrent nodes of an ONNX file. It never changes: many threads may use one at once. */
typedef struct rnnpack_onnx rnnpack_onnx;

/* The working memory of calls, for any layer and size. It grows to the largest call and stays as large. One call uses it
 * at a time; a call that finds it in use returns RNNPACK_BUSY and does nothing. So a program needs one for each thread
 * that computes, whatever its number of layers and states.
 */
typedef struct rnnpack_scratch rnnpack_scratch;

/* h and c of a stream, or of a batch of streams. One call uses it at a time; a call that finds it in use returns
 * RNNPACK_BUSY and does nothing.
 */
typedef struct rnnpack_state rnnpack_state;

/* What a function returns: one of the constants below. All but RNNPACK_OK are failures. */
typedef int32_t rnnpack_status;

/* How a layer is packed. Set all of it to zero first, then size and what differs from the defaults. */
typedef struct rnnpack_pack_desc {
  /* sizeof(rnnpack_pack_desc). */
  size_t size;
  /* RNNPACK_SUBNORMALS_KEEP, RNNPACK_SUBNORMALS_FLUSH_WEIGHTS or RNNPACK_SUBNORMALS_FLUSH. */
  int32_t subnormals;
  /* Name of the instruction set to pack for; all with fused multiply-adds give the same bits. NULL: that of rnnpack_isa. */
  const char *isa;
  /* The type in which W and R are stored, such as RNNPACK_WEIGHT_TYPE_BF16. The default: RNNPACK_WEIGHT_TYPE_GIVEN. */
  int32_t weight_type;
} rnnpack_pack_desc;

/* What a layer computes, and its weights. Set all of it to zero first, then size and what the layer has: zeros mean a
 * forward LSTM with ONNX's order of gates, its default activations and no options.
 *
 * D is the number of directions (2 where it is bidirectional, else 1), G the operator's number of gates, I the input
 * size, H the hidden size. Tensors are dense, with the first extent outermost. The options are the attributes of ONNX's
 * operators of these names.
 */
typedef struct rnnpack_layer_desc {
  /* sizeof(rnnpack_layer_desc). */
  size_t size;
  /* RNNPACK_LSTM, RNNPACK_GRU or RNNPACK_RNN. */
  int32_t op;
  /* RNNPACK_FORWARD, RNNPACK_REVERSE or RNNPACK_BIDIRECTIONAL. */
  int32_t direction;
  /* RNNPACK_GATES_ONNX or RNNPACK_GATES_PYTORCH. PyTorch's GRU has linear_before_reset. */
  int32_t gate_order;
  /* LSTM only: 1 couples the gates, forget = 1 - input. Else 0. */
  int32_t input_forget;
  /* GRU only: 1 lets the reset gate act on the product of R and h. Else 0. */
  int32_t linear_before_reset;
  /* 1 where clip is given, else 0. */
  int32_t has_clip;
  /* Arguments of activations are clipped to this and its negative; positive and finite. */
  float clip;
  /* I. */
  size_t input;
  /* H, at least 1. */
  size_t hidden;
  /* W [D, G*H, I]. */
  const float *w;
  /* Its elements. */
  size_t w_count;
  /* R [D, G*H, H]. */
  const float *r;
  /* Its elements. */
  size_t r_count;
  /* B [D, 2*G*H]: of each direction the biases of W for all gates, then those of R. NULL: no biases. */
  const float *b;
  /* Its elements. */
  size_t b_count;
  /* P [D, 3*H], the peepholes of an LSTM's gates input, output and forget, in this order always. NULL: none. */
  const float *p;
  /* Its elements. */
  size_t p_count;
  /* Names of the activation functions, of each direction as many as the operator has: 3, 2 or 1. NULL: the defaults. */
  const char *const *activations;
  /* The number of names. */
  size_t activation_count;
  /* Values of the functions' first parameters: each goes to the next function that has one, in order. May be NULL. */
  const float *activation_alpha;
  /* Their number. */
  size_t activation_alpha_count;
  /* Values of the functions' second parameters, likewise. May be NULL. */
  const float *activation_beta;
  /* Their number. */
  size_t activation_beta_count;
  /* How the weights are packed. NULL: the defaults. */
  const struct rnnpack_pack_desc *pack;
} rnnpack_layer_desc;

/* What rnnpack_layer_get_info tells of a layer or a stack. */
typedef struct rnnpack_layer_info {
  /* In: sizeof(rnnpack_layer_info). */
  size_t size;
  /* The operator; of a stack, that of the last layer. */
  int32_t op;
  /* The direction; of a stack, that of the last layer. */
  int32_t direction;
  /* D: 1 or 2; of a stack, that of the last layer. */
  size_t directions;
  /* I; of a stack, that of the first layer. */
  size_t input;
  /* H; of a stack, that of the last layer. */
  size_t hidden;
  /* The number of layers: 1, or those of a stack. */
  size_t layers;
  /* Elements of h of one batch row: D*H, or the sum of the layers' of a stack. The h_count of a state is B times this. */
  size_t h_per_row;
  /* Elements of c of one batch row: D*H of an LSTM, else 0; or the sum of the layers' of a stack. */
  size_t c_per_row;
  /* Bytes of the packed weights of all layers. */
  size_t packed_bytes;
  /* What the layer does with subnormal numbers, such as RNNPACK_SUBNORMALS_KEEP; of a stack, the last layer. */
  int32_t subnormals;
  /* Weights of all layers that were subnormal and became zero when they were packed. */
  uint64_t flushed_weights;
  /* Bytes that rnnpack_layer_to_bytes writes; 0 for a stack of several layers. */
  size_t bytes_count;
  /* Name of the instruction set that the layer is packed for; it lasts for ever. Of a stack, that of the last layer. */
  const char *isa;
  /* The type in which W and R are stored, such as RNNPACK_WEIGHT_TYPE_F32; of a stack, in the last layer. */
  int32_t weight_type;
} rnnpack_layer_info;

/* What rnnpack_onnx_get_node tells of a node. Its texts last as long as the rnnpack_onnx. */
typedef struct rnnpack_node_info {
  /* In: sizeof(rnnpack_node_info). */
  size_t size;
  /* The node's name, or where the file has none its operator and place, such as "LSTM_0". Names are unique: the second
   * node called "a" is "a#2".
   */
  const char *name;
  /* NULL where rnnpack_onnx_layer makes a layer of the node; else why not. */
  const char *refusal;
  /* The operator. */
  int32_t op;
  /* The direction; -1 where the attribute cannot be read. */
  int32_t direction;
  /* The layout of X and Y in the file, RNNPACK_TIME_MAJOR or RNNPACK_BATCH_MAJOR; -1 where the attribute cannot be read. */
  int32_t layout;
  /* I; SIZE_MAX where the file does not tell. */
  size_t input;
  /* H; SIZE_MAX where the file does not tell. */
  size_t hidden;
} rnnpack_node_info;

/* A call of rnnpack_forward. Set all of it to zero first, then size and what the call has.
 *
 * T, B, D, I, H are time steps, batch rows, directions, input size, hidden size. Strides are distances in elements from
 * the start of one row to that of the next along an axis; the I or H elements of a row are neighbours. Where all strides
 * of x (or of y) are 0 it is dense in the given layout, and its count is exactly its number of elements. Else
 * its count says how far it may be accessed, and the layout is not used.
 *
 * What is written (y, final_h, final_c) overlaps nothing else of the call; but final_h and final_c may be initial_h and
 * initial_c.
 */
typedef struct rnnpack_forward_desc {
  /* sizeof(rnnpack_forward_desc). */
  size_t size;
  /* T. */
  size_t time;
  /* B, that of the state. */
  size_t batch;
  /* RNNPACK_TIME_MAJOR or RNNPACK_BATCH_MAJOR. */
  int32_t layout;
  /* RNNPACK_THREADS_NONE or RNNPACK_THREADS_POOL. */
  int32_t threads;
  /* The input. */
  const float *x;
  /* Its elements; all count as read, those between rows too. */
  size_t x_count;
  /* From one step to the next. */
  size_t x_time_stride;
  /* From one batch row to the next. */
  size_t x_batch_stride;
  /* The output: h of every step. NULL: not wanted. */
  float *y;
  /* Its elements. What lies between its rows is not touched, and may belong to other threads. */
  size_t y_count;
  /* From one step to the next. */
  size_t y_time_stride;
  /* From direction 0 to direction 1. */
  size_t y_direction_stride;
  /* From one batch row to the next. */
  size_t y_batch_stride;
  /* Steps of each batch row, 0 to T. A row's final state is that of its last step, and y is 0 beyond. NULL: all have T. */
  const int32_t *lens;
  /* Its elements: B. */
  size_t lens_count;
  /* Initial h [D, B, H], of a stack those of the layers one after the other; replaces that of the state, also where the
   * call then fails. NULL: the state's.
   */
  const float *initial_h;
  /* Takes a copy of the final h, which the state has too. NULL: not wanted. */
  float *final_h;
  /* Elements of each of initial_h and final_h that is not NULL: B times the layer's h_per_row. */
  size_t h_count;
  /* Initial c, likewise; of an LSTM. */
  const float *initial_c;
  /* Takes a copy of the final c, likewise; of an LSTM. */
  float *final_c;
  /* Elements of each of initial_c and final_c that is not NULL: B times the layer's c_per_row. */
  size_t c_count;
  /* Another thread may write a number other than 0 here to stop the call. It is read at the start and once in each chunk of
   * time steps (16 or more of large layers, some 100 microseconds of small ones), as an atomic number. NULL: nobody stops it.
   */
  const int32_t *stop;
} rnnpack_forward_desc;

#ifdef __cplusplus
extern "C" {
#endif /* __cplusplus */

/* Says why the last failed call of this thread failed, in English, for people; empty where none has failed yet. Calls that
 * work leave it as it is. Never NULL; at most 1023 bytes of UTF-8.
 *
 * Owner: the library. The text lasts until the next failed call of this thread, and no longer than the thread.
 * Threads: each has its own.
 */
const char *rnnpack_message(void);

/* Gives the version of the library, such as "0.1.0".
 *
 * version: out.
 *
 * Owner: the library; the text lasts for ever.
 * Threads: any number at once.
 */
rnnpack_status rnnpack_version(const char **version);

/* Gives the name of the instruction set that new layers take: "avx512", "avx2" or "portable". It is the widest that this
 * CPU has, or what the environment variable RNNPACK_ISA says. A layer with few hidden units may take a narrower one
 * where that is no slower; rnnpack_layer_get_info tells which.
 *
 * isa: out.
 *
 * Fails with RNNPACK_NO_ISA where the variable names none of the available ones; the message lists them.
 * Owner: the library; the text lasts for ever.
 * Threads: any number at once.
 */
rnnpack_status rnnpack_isa(const char **isa);

/* Packs a layer. The weights are copied: what desc points to is needed during the call alone.
 *
 * desc: what the layer computes. layer: out, NULL where the call fails.
 *
 * Fails with RNNPACK_WEIGHTS for a weight that is NaN or infinite, or beyond the range of the type to store it in,
 * RNNPACK_SHAPE for counts that disagree with the sizes, RNNPACK_ARGUMENT for options that the operator does not have.
 * Owner: the caller, until rnnpack_layer_free.
 * Threads: any number at once.
 */
rnnpack_status rnnpack_layer_new(const struct rnnpack_layer_desc *desc,
                                 struct rnnpack_layer **layer);

/* Tells a layer's operator, sizes, bytes and instruction set.
 *
 * info: in and out; set its size first.
 *
 * Threads: any number at once, also on one layer.
 */
rnnpack_status rnnpack_layer_get_info(const struct rnnpack_layer *layer, struct rnnpack_layer_info *info);

/* Frees a layer or a stack; NULL is allowed. Stacks made of it stay, and states that were made for it stay usable, with
 * another layer of its sizes.
 *
 * Threads: when no other call uses the layer any more.
 */
rnnpack_status rnnpack_layer_free(struct rnnpack_layer *layer);

/* Puts layers on top of each other: the output of each, its directions side by side, is the input of the next. The result is
 * used like a layer: with its own states, in every function that takes a layer, and as a part of other stacks.
 *
 * Its x is that of the first layer, its y that of the last. h and c of its states are those of the layers one after the
 * other, from the first on: of L layers of one size [L*D, B, H], as PyTorch's h_n and c_n. c is that of the LSTMs alone.
 *
 * layers, count: the layers, from the input on; at least 1. stack: out, NULL where the call fails.
 *
 * Fails with RNNPACK_SHAPE where a layer's input size is not D*H of the layer before.
 * Owner: the caller, until rnnpack_layer_free. The layers may be freed before: the weights are shared, not copied.
 * Threads: any number at once, also on one layer.
 */
rnnpack_status rnnpack_stack_new(const struct rnnpack_layer *const *layers,
                                 size_t count,
                                 struct rnnpack_layer **stack);

/* Packs a layer to bytes, for rnnpack_layer_in_place and rnnpack_layer_open. They are for the layer's instruction set and this
 * machine's order of bytes, and are those of Layer::to_bytes in Rust.
 *
 * bytes, count: out; as many as bytes_count of rnnpack_layer_get_info says.
 *
 * Fails with RNNPACK_SHAPE for another count, RNNPACK_ARGUMENT for a stack of several layers: pack each of them.
 * Threads: any number at once, also on one layer.
 */
rnnpack_status rnnpack_layer_to_bytes(const struct rnnpack_layer *layer,
                                      void *bytes,
                                      size_t count);

/* Makes a layer of packed bytes, which are used in place and not copied: those of a program, or of a file that is mapped into
 * memory.
 *
 * bytes, count: the packed bytes, from a 64-byte boundary on. Nobody may change or free them as long as the layer, or a stack
 * made of it, lives. layer: out, NULL where the call fails.
 *
 * Fails with RNNPACK_BYTES where the bytes are altered, cut, of another version, not aligned, or for an instruction set that
 * this machine lacks. Bytes of any contents can do no worse than compute wrong numbers.
 * Owner: the caller, until rnnpack_layer_free.
 * Threads: any number at once.
 */
rnnpack_status rnnpack_layer_in_place(const void *bytes,
                                      size_t count,
                                      struct rnnpack_layer **layer);

/* Makes a layer of the packed bytes in a file. They are copied.
 *
 * path: text in UTF-8. layer: out, NULL where the call fails.
 *
 * Fails with RNNPACK_NOT_FOUND where the file cannot be read, RNNPACK_MEMORY where it does not fit into memory, and with
 * RNNPACK_BYTES as rnnpack_layer_in_place.
 * Owner: the caller, until rnnpack_layer_free.
 * Threads: any number at once.
 */
rnnpack_status rnnpack_layer_open(const char *path,
                                  struct rnnpack_layer **layer);

/* Reads the recurrent nodes of an ONNX model, those of the main graph first, then those inside of If, Loop and Scan.
 * Nodes that cannot become layers are listed too. The bytes are needed during the call alone.
 *
 * bytes, count: the file's contents. onnx: out, NULL where the call fails.
 *
 * Fails with RNNPACK_ONNX where the bytes are no ONNX model. Nodes whose weights are in other files are listed, but not
 * packed: use rnnpack_onnx_open.
 * Owner: the caller, until rnnpack_onnx_free.
 * Threads: any number at once.
 */
rnnpack_status rnnpack_onnx_parse(const void *bytes,
                                  size_t count,
                                  struct rnnpack_onnx **onnx);

/* Like rnnpack_onnx_parse, for the model in a file. Data that the model keeps in other files is read from files below the
 * model's own folder.
 *
 * path: text in UTF-8. onnx: out, NULL where the call fails.
 *
 * Fails with RNNPACK_NOT_FOUND where the file cannot be read, RNNPACK_ONNX where it is no ONNX model or where data in
 * another file cannot be read.
 * Owner: the caller, until rnnpack_onnx_free.
 * Threads: any number at once.
 */
rnnpack_status rnnpack_onnx_open(const char *path,
                                 struct rnnpack_onnx **onnx);

/* Gives the number of recurrent nodes.
 *
 * count: out.
 *
 * Threads: any number at once, also on one rnnpack_onnx.
 */
rnnpack_status rnnpack_onnx_count(const struct rnnpack_onnx *onnx, size_t *count);

/* Tells what the file says of a node.
 *
 * index: 0 to the number of nodes - 1. info: in and out; set its size first.
 *
 * Fails with RNNPACK_NOT_FOUND for another index.
 * Threads: any number at once, also on one rnnpack_onnx.
 */
rnnpack_status rnnpack_onnx_get_node(const struct rnnpack_onnx *onnx,
                                     size_t index,
                                     struct rnnpack_node_info *info);

/* Packs the layer of a node, by its name as rnnpack_onnx_get_node tells it. Numbers of half precision are widened when they are
 * used, which is exact. The layer holds the weights alone: initial states and lengths, stored ones too, are given to rnnpack_forward.
 *
 * name: text in UTF-8. pack: how the weights are packed; NULL: the defaults. layer: out, NULL where the call fails.
 *
 * Fails with RNNPACK_NOT_FOUND where no node has the name, RNNPACK_WEIGHTS for a weight beyond the range of the type that
 * pack says, RNNPACK_UNSUPPORTED where the node is not computed here; the
 * message names its attribute, input or type (doubles, for one).
 * Owner: the caller, until rnnpack_layer_free; the rnnpack_onnx may be freed before.
 * Threads: any number at once, also on one rnnpack_onnx.
 */
rnnpack_status rnnpack_onnx_layer(const struct rnnpack_onnx *onnx,
                                  const char *name,
                                  const struct rnnpack_pack_desc *pack,
                                  struct rnnpack_layer **layer);

/* Frees what rnnpack_onnx_parse or rnnpack_onnx_open made; NULL is allowed. Layers made of it stay.
 *
 * Threads: when no other call uses it any more.
 */
rnnpack_status rnnpack_onnx_free(struct rnnpack_onnx *onnx);

/* Makes a state of zeros, for any layer of the operator, hidden size and number of directions of this one; of a stack, for
 * any stack whose layers agree in these.
 *
 * batch: rows B, streams that go step by step together; 0 or more. state: out, NULL where the call fails.
 *
 * Fails with RNNPACK_MEMORY where so many rows do not fit into memory.
 * Owner: the caller, until rnnpack_state_free.
 * Threads: any number at once, also on one layer.
 */
rnnpack_status rnnpack_state_new(const struct rnnpack_layer *layer,
                                 size_t batch,
                                 struct rnnpack_state **state);

/* Sets a state back to zeros: the start of new streams. It also makes a state work again that returns RNNPACK_FORKED.
 *
 * Threads: one at a time on one state, else RNNPACK_BUSY. Real time: it waits for nothing.
 */
rnnpack_status rnnpack_state_reset(struct rnnpack_state *state);

/* Copies h and c of a state to another one of the same sizes. A copy of a state onto itself does nothing.
 *
 * state: the source. to: the destination.
 *
 * Fails with RNNPACK_SHAPE where their sizes differ.
 * Threads: one at a time on each of the two, else RNNPACK_BUSY. Real time: it waits for nothing.
 */
rnnpack_status rnnpack_state_copy(const struct rnnpack_state *state, struct rnnpack_state *to);

/* Frees a state; NULL is allowed.
 *
 * Fails with RNNPACK_BUSY, and frees nothing, while another call uses it. It also frees a state that returns RNNPACK_FORKED.
 * Threads: when no other call uses the state any more.
 */
rnnpack_status rnnpack_state_free(struct rnnpack_state *state);

/* Reads a state.
 *
 * h, h_count: out; hidden state [D, B, H], or NULL and 0 to leave it out. c, c_count: out; cell state [D, B, H] of an LSTM,
 * likewise; an operator without a cell state has none. Of a stack, those of the layers one after the other.
 *
 * Fails with RNNPACK_SHAPE for other counts; nothing was written then.
 * Threads: one at a time on one state, else RNNPACK_BUSY. Real time: it waits for nothing.
 */
rnnpack_status rnnpack_state_read(const struct rnnpack_state *state,
                                  float *h,
                                  size_t h_count,
                                  float *c,
                                  size_t c_count);

/* Writes a state.
 *
 * h, h_count: hidden state [D, B, H], or NULL and 0 to leave it as it is. c, c_count: cell state [D, B, H] of an LSTM,
 * likewise; an operator without a cell state has none. Of a stack, those of the layers one after the other.
 *
 * Fails with RNNPACK_SHAPE for other counts; nothing was written then.
 * Threads: one at a time on one state, else RNNPACK_BUSY. Real time: it waits for nothing.
 */
rnnpack_status rnnpack_state_write(struct rnnpack_state *state,
                                   const float *h,
                                   size_t h_count,
                                   const float *c,
                                   size_t c_count);

/* Sets one batch row of a state to zeros: the start of a new stream in a batch of streams.
 *
 * row: 0 to B - 1.
 *
 * Fails with RNNPACK_NOT_FOUND for another row.
 * Threads: one at a time on one state, else RNNPACK_BUSY. Real time: it waits for nothing.
 */
rnnpack_status rnnpack_state_reset_row(struct rnnpack_state *state, size_t row);

/* Reads one batch row of a state.
 *
 * row: 0 to B - 1. h, h_count: out; hidden state [D, H] of the row, or NULL and 0 to leave it out. c, c_count: out; cell
 * state [D, H] of an LSTM, likewise; an operator without a cell state has none. Of a stack, those of the layers one after the
 * other.
 *
 * Fails with RNNPACK_NOT_FOUND for another row, RNNPACK_SHAPE for other counts; nothing was written then.
 * Threads: one at a time on one state, else RNNPACK_BUSY. Real time: it waits for nothing.
 */
rnnpack_status rnnpack_state_read_row(const struct rnnpack_state *state,
                                      size_t row,
                                      float *h,
                                      size_t h_count,
                                      float *c,
                                      size_t c_count);

/* Writes one batch row of a state.
 *
 * row: 0 to B - 1. h, h_count: hidden state [D, H] of the row, or NULL and 0 to leave it as it is. c, c_count: cell state
 * [D, H] of an LSTM, likewise; an operator without a cell state has none. Of a stack, those of the layers one after the other.
 *
 * Fails with RNNPACK_NOT_FOUND for another row, RNNPACK_SHAPE for other counts; nothing was written then.
 * Threads: one at a time on one state, else RNNPACK_BUSY. Real time: it waits for nothing.
 */
rnnpack_status rnnpack_state_write_row(struct rnnpack_state *state,
                                       size_t row,
                                       const float *h,
                                       size_t h_count,
                                       const float *c,
                                       size_t c_count);

/* Makes an empty scratch. Its memory comes with the calls.
 *
 * scratch: out, NULL where the call fails.
 *
 * Owner: the caller, until rnnpack_scratch_free.
 * Threads: any number at once.
 */
rnnpack_status rnnpack_scratch_new(struct rnnpack_scratch **scratch);

/* Frees a scratch; NULL is allowed.
 *
 * Fails with RNNPACK_BUSY, and frees nothing, while another call uses it. Where another thread used it when this process was
 * forked it returns RNNPACK_OK, but leaves the memory to the end of the process: the call may have been moving it.
 * Threads: when no other call uses the scratch any more.
 */
rnnpack_status rnnpack_scratch_free(struct rnnpack_scratch *scratch);

/* Runs a layer over sequences, from the state's h and c (or the initial ones given) to the final ones, which are left in
 * the state (and copied to where desc says). A sequence may come in any chunks of time, one call after the other.
 *
 * The same bits come out for a row whatever the batch around it, the chunks, the threads, the thread's floating-point
 * environment, and the instruction set, as long as that has fused multiply-adds.
 *
 * Fails with RNNPACK_SHAPE, RNNPACK_OVERLAP and others before anything but initial_h and initial_c was taken;
 * y and the final states are not written then. After RNNPACK_MEMORY of a call with RNNPACK_THREADS_POOL the state and y are
 * unspecified. After RNNPACK_STOPPED the state is as when the call began (with initial_h and initial_c where they were given),
 * final_h and final_c are not written, and y holds any numbers.
 * Threads: any number at once on one layer; one at a time on one state and on one scratch, else RNNPACK_BUSY.
 * Real time: with RNNPACK_THREADS_NONE a call neither allocates, locks, enters the system nor waits, after one of any thread that
 * worked with the same layer and scratch, at least as many time steps and rows, and a stop if this has one. A call that is
 * refused does not either, warmed up or not.
 */
rnnpack_status rnnpack_forward(const struct rnnpack_layer *layer,
                               struct rnnpack_state *state,
                               struct rnnpack_scratch *scratch,
                               const struct rnnpack_forward_desc *desc);

/* Runs one step of every row of the state, on the calling thread.
 *
 * x, x_count: input, dense [B, I]. y, y_count: out; the new h, dense [D, B, H], or NULL and 0 to leave it out. They must
 * not overlap. Of a stack, x is that of the first layer and y that of the last.
 *
 * Fails as rnnpack_forward does, with everything as it was before; but y is zero after RNNPACK_MEMORY.
 * Threads: any number at once on one layer; one at a time on one state and on one scratch, else RNNPACK_BUSY.
 * Real time: as rnnpack_forward.
 */
rnnpack_status rnnpack_step(const struct rnnpack_layer *layer,
                            struct rnnpack_state *state,
                            struct rnnpack_scratch *scratch,
                            const float *x,
                            size_t x_count,
                            float *y,
                            size_t y_count);

#ifdef __cplusplus
}  /* extern "C" */
#endif  /* __cplusplus */

#endif  /* RNNPACK_H */
