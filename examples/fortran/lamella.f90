! SPDX-License-Identifier: Apache-2.0
! lamella from Fortran 2008: this module over the C interface, lamella/lamella.h; link with -llamella.
!
! Fortran's last index is C's first: an array x(features, rows) is a batch of `rows` samples as Keras has them.
! Every procedure ends with `message`, which is allocated when the call failed and says why, and is not when it succeeded.
module lamella
  use, intrinsic :: iso_c_binding
  implicit none
  private
  public :: lamella_model, lamella_load, lamella_update_weights, lamella_save

  type, bind(c) :: tensor
    integer(c_size_t) :: struct_size
    type(c_ptr) :: data
    integer(c_int32_t) :: dtype
    integer(c_int32_t) :: ndim
    type(c_ptr) :: shape
    type(c_ptr) :: strides
    integer(c_int32_t) :: device_type
    integer(c_int32_t) :: device_index
  end type tensor

  !> A Keras model. Copies of it are the same model; free() ends all of them.
  type :: lamella_model
    private
    type(c_ptr) :: handle = c_null_ptr
  contains
    procedure, private :: predict_one
    procedure, private :: predict_matrix
    !> y = model(x) for float32 models of one input and one output: of one sample, x(features) and y(units); or of many,
    !> x(features, rows) and y(units, rows).
    generic :: predict => predict_one, predict_matrix
    procedure :: count_params
    procedure :: free => free_model
  end type lamella_model

  integer(c_int32_t), parameter :: float32 = 0, cpu = 1

  interface
    function c_options_create(options) bind(c, name="lamella_options_create") result(error)
      import :: c_ptr
      type(c_ptr), intent(out) :: options
      type(c_ptr) :: error
    end function c_options_create
    function c_options_set(options, name, text) bind(c, name="lamella_options_set") result(error)
      import :: c_ptr, c_char
      type(c_ptr), value :: options
      character(kind=c_char), intent(in) :: name(*), text(*)
      type(c_ptr) :: error
    end function c_options_set
    subroutine c_options_free(options) bind(c, name="lamella_options_free")
      import :: c_ptr
      type(c_ptr), value :: options
    end subroutine c_options_free
    function c_model_load(path, options, model) bind(c, name="lamella_model_load") result(error)
      import :: c_ptr, c_char
      character(kind=c_char), intent(in) :: path(*)
      type(c_ptr), value :: options
      type(c_ptr), intent(out) :: model
      type(c_ptr) :: error
    end function c_model_load
    function c_model_predict(model, inputs, input_count, outputs, output_count) bind(c, name="lamella_model_predict") result(error)
      import :: c_ptr, c_size_t, tensor
      type(c_ptr), value :: model
      type(tensor), intent(in) :: inputs(*), outputs(*)
      integer(c_size_t), value :: input_count, output_count
      type(c_ptr) :: error
    end function c_model_predict
    function c_model_update_weights(model, names, values, count) bind(c, name="lamella_model_update_weights") result(error)
      import :: c_ptr, c_size_t, tensor
      type(c_ptr), value :: model
      type(c_ptr), intent(in) :: names(*)
      type(tensor), intent(in) :: values(*)
      integer(c_size_t), value :: count
      type(c_ptr) :: error
    end function c_model_update_weights
    function c_model_save(model, path) bind(c, name="lamella_model_save") result(error)
      import :: c_ptr, c_char
      type(c_ptr), value :: model
      character(kind=c_char), intent(in) :: path(*)
      type(c_ptr) :: error
    end function c_model_save
    function c_model_count_params(model) bind(c, name="lamella_model_count_params") result(count)
      import :: c_ptr, c_int64_t
      type(c_ptr), value :: model
      integer(c_int64_t) :: count
    end function c_model_count_params
    subroutine c_model_free(model) bind(c, name="lamella_model_free")
      import :: c_ptr
      type(c_ptr), value :: model
    end subroutine c_model_free
    function c_error_message(error) bind(c, name="lamella_error_message") result(text)
      import :: c_ptr
      type(c_ptr), value :: error
      type(c_ptr) :: text
    end function c_error_message
    subroutine c_error_free(error) bind(c, name="lamella_error_free")
      import :: c_ptr
      type(c_ptr), value :: error
    end subroutine c_error_free
    function c_strlen(text) bind(c, name="strlen") result(length)
      import :: c_ptr, c_size_t
      type(c_ptr), value :: text
      integer(c_size_t) :: length
    end function c_strlen
  end interface

contains

  !> Reads a .keras archive or a legacy .h5 file. `options` are pairs "name=value" of lamella_options_set(): ["device=cpu"].
  subroutine lamella_load(path, model, message, options)
    character(len=*), intent(in) :: path
    type(lamella_model), intent(out) :: model
    character(len=:), allocatable, intent(out) :: message
    character(len=*), intent(in), optional :: options(:)
    type(c_ptr) :: held
    integer :: i, equals
    call take(c_options_create(held), message)
    if (allocated(message)) return
    if (present(options)) then
      do i = 1, size(options)
        equals = index(options(i), "=")
        if (equals == 0) then
          message = "lamella_load: an option is name=value, got '" // trim(options(i)) // "'"
        else
          call take(c_options_set(held, options(i)(:equals - 1) // c_null_char, &
                                  trim(options(i)(equals + 1:)) // c_null_char), message)
        end if
        if (allocated(message)) exit
      end do
    end if
    if (.not. allocated(message)) call take(c_model_load(trim(path) // c_null_char, held, model%handle), message)
    call c_options_free(held)
  end subroutine lamella_load

  subroutine predict_matrix(self, x, y, message)
    class(lamella_model), intent(in) :: self
    real(c_float), contiguous, intent(in), target :: x(:, :)
    real(c_float), contiguous, intent(inout), target :: y(:, :)
    character(len=:), allocatable, intent(out) :: message
    integer(c_int64_t), target :: x_shape(2), y_shape(2)
    type(tensor) :: inputs(1), outputs(1)
    x_shape = [size(x, 2, c_int64_t), size(x, 1, c_int64_t)]
    y_shape = [size(y, 2, c_int64_t), size(y, 1, c_int64_t)]
    inputs(1) = described(c_loc(x), float32, x_shape)
    outputs(1) = described(c_loc(y), float32, y_shape)
    call take(c_model_predict(self%handle, inputs, 1_c_size_t, outputs, 1_c_size_t), message)
  end subroutine predict_matrix

  subroutine predict_one(self, x, y, message)
    class(lamella_model), intent(in) :: self
    real(c_float), contiguous, intent(in), target :: x(:)
    real(c_float), contiguous, intent(inout), target :: y(:)
    character(len=:), allocatable, intent(out) :: message
    real(c_float), pointer :: xs(:, :), ys(:, :)
    call c_f_pointer(c_loc(x), xs, [size(x), 1])
    call c_f_pointer(c_loc(y), ys, [size(y), 1])
    call self%predict_matrix(xs, ys, message)
  end subroutine predict_one

  !> Writes another kernel, kernel(units, inputs), and bias into the Dense layer `path` of a model that was loaded with
  !> "updatable=true".
  subroutine lamella_update_weights(model, path, kernel, bias, message)
    type(lamella_model), intent(in) :: model
    character(len=*), intent(in) :: path
    real(c_float), contiguous, intent(in), target :: kernel(:, :), bias(:)
    character(len=:), allocatable, intent(out) :: message
    integer(c_int64_t), target :: kernel_shape(2), bias_shape(1)
    character(kind=c_char, len=:), allocatable, target :: kernel_name, bias_name
    type(tensor) :: values(2)
    kernel_shape = [size(kernel, 2, c_int64_t), size(kernel, 1, c_int64_t)]
    bias_shape = [size(bias, 1, c_int64_t)]
    kernel_name = trim(path) // "/kernel" // c_null_char
    bias_name = trim(path) // "/bias" // c_null_char
    values(1) = described(c_loc(kernel), float32, kernel_shape)
    values(2) = described(c_loc(bias), float32, bias_shape)
    call take(c_model_update_weights(model%handle, [c_loc(kernel_name), c_loc(bias_name)], values, 2_c_size_t), message)
  end subroutine lamella_update_weights

  !> Writes NAME.keras or NAME.weights.h5, as Keras 3 does.
  subroutine lamella_save(model, path, message)
    type(lamella_model), intent(in) :: model
    character(len=*), intent(in) :: path
    character(len=:), allocatable, intent(out) :: message
    call take(c_model_save(model%handle, trim(path) // c_null_char), message)
  end subroutine lamella_save

  !> The number of elements of all weights; 0 where there is no model.
  function count_params(self) result(count)
    class(lamella_model), intent(in) :: self
    integer(c_int64_t) :: count
    count = c_model_count_params(self%handle)
  end function count_params

  subroutine free_model(self)
    class(lamella_model), intent(inout) :: self
    call c_model_free(self%handle)
    self%handle = c_null_ptr
  end subroutine free_model

  function described(data, dtype, shape) result(what)
    type(c_ptr), intent(in) :: data
    integer(c_int32_t), intent(in) :: dtype
    integer(c_int64_t), intent(in), target :: shape(:)
    type(tensor) :: what
    what = tensor(c_sizeof(what), data, dtype, size(shape, kind=c_int32_t), c_loc(shape), c_null_ptr, cpu, 0_c_int32_t)
  end function described

  !> The message of an error, which is freed; not allocated where there is none.
  subroutine take(error, message)
    type(c_ptr), intent(in) :: error
    character(len=:), allocatable, intent(inout) :: message
    character(kind=c_char), pointer :: text(:)
    type(c_ptr) :: words
    integer :: i
    if (allocated(message)) deallocate(message)
    if (.not. c_associated(error)) return
    words = c_error_message(error)
    call c_f_pointer(words, text, [c_strlen(words)])
    allocate(character(len=size(text)) :: message)
    do i = 1, size(text)
      message(i:i) = text(i)
    end do
    call c_error_free(error)
  end subroutine take

end module lamella
