using Librarian.Client.Wire;
using Librarian.Domain.Accounts;
using Librarian.Domain.Catalog;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Microsoft.AspNetCore.Mvc;

namespace Librarian.Functions.Api;

/// <summary>
/// Accounts and their levels (docs/spec/wire.md#users). A 400 carries no <c>reason</c>, because the Python client relies on that.
/// </summary>
[Tags("Accounts")]
public sealed class UserFunctions(AccountDirectory accounts)
{
    /// <summary>Creates an account.</summary>
    [Function("UserCreate"), Requires(AuthLevel.Admin)]
    [Responds<UserChangeResponse>(201, "The account exists from now on.")]
    [Responds<UserChangeResponse>(
        400,
        "It exists already, or name or password are not allowed: a name has no colon, both are ASCII. Nothing was changed."
    )]
    public async Task<IResult> CreateAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.UsersCreate)] HttpRequest request,
        [FromBody] UserCreateRequest body,
        CancellationToken cancellationToken
    )
    {
        var change = await accounts.CreateAsync(body.Username, body.Password, body.Permission, cancellationToken);
        return Change(change, body.Username, StatusCodes.Status201Created);
    }

    /// <summary>
    /// Changes the password or level of an account. For an unknown account the answer is 200 with success false, as upstream
    /// (docs/spec/wire.md#users-update-unknown).
    /// </summary>
    [Function("UserUpdate"), Requires(AuthLevel.Admin)]
    [Responds<UserChangeResponse>(200, "Changed; with `success` false there is no such account.")]
    [Responds<UserChangeResponse>(400, "The password is not allowed, or it is the last administrator. Nothing was changed.")]
    public async Task<IResult> UpdateAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.UsersUpdate)] HttpRequest request,
        [FromBody] UserUpdateRequest body,
        CancellationToken cancellationToken
    )
    {
        var change = await accounts.UpdateAsync(body.Username, body.Password, (AuthLevel?)body.Permission, cancellationToken);
        return change == AccountChange.Unknown && body.Username.Length <= CatalogContext.MaxText
            ? Answers.Json(new UserChangeResponse(false, body.Username))
            : Change(change, body.Username, StatusCodes.Status200OK);
    }

    /// <summary>Removes an account.</summary>
    [Function("UserDelete"), Requires(AuthLevel.Admin)]
    [Responds<UserChangeResponse>(200, "The account is gone.")]
    [Responds<UserChangeResponse>(400, "There is no such account, or it is the last administrator. Nothing was changed.")]
    public async Task<IResult> DeleteAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.UsersDelete)] HttpRequest request,
        [FromBody] UserRequest body,
        CancellationToken cancellationToken
    ) => Change(await accounts.DeleteAsync(body.Username, cancellationToken), body.Username, StatusCodes.Status200OK);

    /// <summary>Shows an account's level.</summary>
    [Function("UserGet"), Requires(AuthLevel.Admin)]
    [Responds<UserResponse>(200, "The account.")]
    [Responds<UserResponse>(400, "There is no such account; `permission` is 0.")]
    public async Task<IResult> GetAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.UsersGet)] HttpRequest request,
        [FromBody] UserRequest body,
        CancellationToken cancellationToken
    ) =>
        await accounts.FindAsync(body.Username, cancellationToken) is { } level
            ? Answers.Json(new UserResponse(body.Username, level))
            : Answers.Json(new UserResponse(body.Username, AuthLevel.None), StatusCodes.Status400BadRequest);

    /// <summary>Changes the caller's own password. Unlike upstream, the old one must be right (weakness W48).</summary>
    [Function("UserPasswordUpdate"), Requires(AuthLevel.ReadOnly)]
    [Responds<UserChangeResponse>(200, "The new password holds from now on.")]
    [Responds<UserChangeResponse>(400, "The old password is wrong, or the new one not allowed. Nothing was changed.")]
    public async Task<IResult> UpdatePasswordAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.UsersPasswordUpdate)] HttpRequest request,
        [FromBody] PasswordUpdateRequest body,
        CancellationToken cancellationToken
    )
    {
        var caller = request.Caller();
        if (await accounts.AuthenticateAsync(caller.Username, body.Password, cancellationToken) == AuthLevel.None)
            return Answers.Json(new UserChangeResponse(false, caller.Username), StatusCodes.Status400BadRequest);
        return Change(
            await accounts.UpdateAsync(caller.Username, body.NewPassword, null, cancellationToken),
            caller.Username,
            StatusCodes.Status200OK
        );
    }

    private static IResult Change(AccountChange change, string username, int success) =>
        change == AccountChange.Done
            ? Answers.Json(new UserChangeResponse(true, username), success)
            : Answers.Json(new UserChangeResponse(false, username), StatusCodes.Status400BadRequest);
}
