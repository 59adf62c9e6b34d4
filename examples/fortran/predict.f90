! SPDX-License-Identifier: Apache-2.0
! A model from Fortran: predict MODEL FEATURES UNITS ROWS prints the outputs for inputs 0, 0.125, 0.25 ... as examples/predict.c does.
program predict
  use, intrinsic :: iso_c_binding, only: c_float
  use, intrinsic :: iso_fortran_env, only: error_unit
  use lamella
  implicit none
  type(lamella_model) :: model
  character(len=:), allocatable :: message
  character(len=1024) :: path, word
  integer :: features, units, rows, i
  real(c_float), allocatable :: x(:, :), y(:, :)

  call get_command_argument(1, path)
  call get_command_argument(2, word)
  read (word, *) features
  call get_command_argument(3, word)
  read (word, *) units
  call get_command_argument(4, word)
  read (word, *) rows
  call lamella_load(path, model, message, options=["device=cpu"])
  call stop_at(message)
  allocate(x(features, rows), y(units, rows))
  x = reshape([(0.125_c_float * real(i, c_float), i = 0, features * rows - 1)], [features, rows])
  call model%predict(x, y, message)
  call stop_at(message)
  print '(es16.8)', y
  call model%free()

contains

  subroutine stop_at(what)
    character(len=:), allocatable, intent(in) :: what
    if (.not. allocated(what)) return
    write (error_unit, '(a)') what
    error stop 1
  end subroutine stop_at
end program predict
