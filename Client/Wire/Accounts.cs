namespace Librarian.Client.Wire;

/// <summary>Request of the three ping endpoints: an empty object (wire.md §6.1).</summary>
public sealed record PingRequest;

/// <summary>A site's answer to a ping.</summary>
/// <param name="Name">Displayed site name, not the identity other sites know it by.</param>
/// <param name="Description">Displayed description.</param>
public sealed record PingResponse(string Name, string Description);

/// <summary>Request of users/create (wire.md §6.2).</summary>
/// <param name="Username">Account name; a site's account carries the site's name. No colon, ASCII.</param>
/// <param name="Password">Clear text, kept only as a hash.</param>
/// <param name="Permission">What the account may do.</param>
public sealed record UserCreateRequest(string Username, string Password, AuthLevel Permission);

/// <summary>Request of users/update; null keeps the present value.</summary>
/// <param name="Username">Account to change.</param>
/// <param name="Password">New password, or null.</param>
/// <param name="Permission">New level, or null.</param>
public sealed record UserUpdateRequest(string Username, string? Password = null, AuthLevel? Permission = null);

/// <summary>Request of users/delete and users/get.</summary>
/// <param name="Username">Account asked about.</param>
public sealed record UserRequest(string Username);

/// <summary>Answer to user changes; also the body of their 400s, which must not carry a reason (wire.md §6.2).</summary>
/// <param name="Success">Whether the change was made.</param>
/// <param name="Username">Account asked about.</param>
public sealed record UserChangeResponse(bool Success, string Username);

/// <summary>Answer of users/get; an unknown account is a 400 with permission 0.</summary>
/// <param name="Username">Account asked about.</param>
/// <param name="Permission">What it may do.</param>
public sealed record UserResponse(string Username, AuthLevel Permission);

/// <summary>Request of users/password_update, which acts on the caller.</summary>
/// <param name="Password">Old password.</param>
/// <param name="NewPassword">New password, effective at once.</param>
public sealed record PasswordUpdateRequest(string Password, string NewPassword);
