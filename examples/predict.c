/* SPDX-License-Identifier: Apache-2.0 */
/* A model from C99: predict MODEL ROWS prints the outputs for inputs 0, 0.125, 0.25 ... Uses models of float32 with one input and one output. */
#include <lamella/lamella.h>
#include <stdio.h>
#include <stdlib.h>

static int failed(lamella_error* error) {
  if (error == NULL) return 0;
  fprintf(stderr, "%s\n", lamella_error_message(error));
  lamella_error_free(error);
  return 1;
}

/* One array of `rows` samples as `what` describes them; open extents become 1. */
static int allocate(const lamella_tensor* what, int64_t rows, int64_t* shape, lamella_tensor* tensor) {
  size_t elements = 1;
  int32_t axis;
  for (axis = 0; axis < what->ndim; ++axis) {
    shape[axis] = axis == 0 ? rows : what->shape[axis] < 0 ? 1 : what->shape[axis];
    elements *= (size_t)shape[axis];
  }
  *tensor = *what;
  tensor->shape = shape;
  tensor->data = calloc(elements + 1, sizeof(float));
  return tensor->data != NULL && what->dtype == LAMELLA_FLOAT32 ? (int)elements : -1;
}

int main(int argc, char** argv) {
  lamella_options* options = NULL;
  lamella_model* model = NULL;
  lamella_tensor what = {sizeof(lamella_tensor), NULL, 0, 0, NULL, NULL, 0, 0};
  lamella_tensor x, y;
  int64_t x_shape[LAMELLA_MAX_RANK], y_shape[LAMELLA_MAX_RANK];
  int count, i;
  if (argc != 3 || lamella_abi_version() != LAMELLA_ABI_VERSION) return 2;
  if (failed(lamella_options_create(&options)) || failed(lamella_options_set(options, "device", "cpu"))) return 1;
  if (failed(lamella_model_load(argv[1], options, &model))) return 1;
  lamella_options_free(options);
  if (failed(lamella_model_input(model, 0, &what))) return 1;
  count = allocate(&what, atoi(argv[2]), x_shape, &x);
  for (i = 0; i < count; ++i) ((float*)x.data)[i] = 0.125F * (float)i;
  if (failed(lamella_model_output(model, 0, &what))) return 1;
  count = allocate(&what, atoi(argv[2]), y_shape, &y);
  if (failed(lamella_model_predict(model, &x, 1, &y, 1))) return 1;
  for (i = 0; i < count; ++i) printf("%.9g\n", (double)((float*)y.data)[i]);
  free(x.data);
  free(y.data);
  lamella_model_free(model);
  return 0;
}
