using System.Text.Json;
using Librarian.Client.Wire;

namespace Librarian.Client;

public sealed partial class LibrarianClient
{
    /// <summary>users/create. The site answers 400 if the account exists.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<UserChangeResponse>> CreateUserAsync(UserCreateRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(
            Routes.UsersCreate,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.UserCreateRequest),
            WireJson.Wire.UserChangeResponse,
            cancellationToken
        );

    /// <summary>users/update. For an unknown account the call succeeds, and its value says false.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<UserChangeResponse>> UpdateUserAsync(UserUpdateRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(
            Routes.UsersUpdate,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.UserUpdateRequest),
            WireJson.Wire.UserChangeResponse,
            cancellationToken
        );

    /// <summary>users/delete. The site answers 400 for an unknown account.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<UserChangeResponse>> DeleteUserAsync(UserRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(
            Routes.UsersDelete,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.UserRequest),
            WireJson.Wire.UserChangeResponse,
            cancellationToken
        );

    /// <summary>users/get. The site answers 400 for an unknown account.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<UserResponse>> GetUserAsync(UserRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(
            Routes.UsersGet,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.UserRequest),
            WireJson.Wire.UserResponse,
            cancellationToken
        );

    /// <summary>users/password_update: changes the password of this account.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<UserChangeResponse>> UpdatePasswordAsync(
        PasswordUpdateRequest request,
        CancellationToken cancellationToken = default
    ) =>
        PostAsync(
            Routes.UsersPasswordUpdate,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.PasswordUpdateRequest),
            WireJson.Wire.UserChangeResponse,
            cancellationToken
        );
}
