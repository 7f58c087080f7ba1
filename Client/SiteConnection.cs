using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Librarian.Client;

/// <summary>Address of a site and the account that calls it.</summary>
/// <param name="BaseAddress">Scheme, host, explicit port and path prefix, without <c>api/v2</c>.</param>
/// <param name="User">Account on that site; ASCII without a colon.</param>
/// <param name="Password">Password of the account; ASCII.</param>
public sealed record SiteConnection(Uri BaseAddress, string User, string Password)
{
    /// <summary>The value of the Authorization header after the word <c>Basic</c>.</summary>
    internal string BasicCredentials => Convert.ToBase64String(Encoding.ASCII.GetBytes($"{User}:{Password}"));

    /// <summary>
    /// Joins a host, with scheme and optional path, and a port. Configurations store the two separately (docs/spec/wire.md#transport,
    /// docs/spec/wire.md#python-client-answers).
    /// </summary>
    /// <param name="host">For example <c>https://lib.example.org/base</c>; one trailing slash is dropped.</param>
    /// <param name="port">TCP port, 1 to 65535.</param>
    /// <param name="user">Account name.</param>
    /// <param name="password">Password.</param>
    /// <param name="connection">The connection.</param>
    /// <param name="error">Why the parts make no connection.</param>
    /// <returns>Whether the parts make a connection.</returns>
    public static bool TryCreate(
        string host,
        long port,
        string user,
        string password,
        [NotNullWhen(true)] out SiteConnection? connection,
        [NotNullWhen(false)] out string? error
    )
    {
        ArgumentNullException.ThrowIfNull(host);
        ArgumentNullException.ThrowIfNull(user);
        ArgumentNullException.ThrowIfNull(password);
        connection = null;
        error =
            !Uri.TryCreate(host, UriKind.Absolute, out var uri) || (uri.Scheme != Uri.UriSchemeHttp && uri.Scheme != Uri.UriSchemeHttps)
                ? $"The host \"{host}\" must start with http:// or https://."
            : HasPort(host) ? $"The host \"{host}\" must not contain a port; the port is configured beside it."
            : uri.UserInfo.Length > 0 || uri.Query.Length > 0 || uri.Fragment.Length > 0
                ? $"The host \"{uri.Host}\" must be a scheme, a name and perhaps a path, nothing else."
            : port is < 1 or > 65535 ? $"The port {port} is not between 1 and 65535."
            : user.Contains(':', StringComparison.Ordinal) || !Ascii.IsValid(user) ? "The user name must be ASCII without a colon."
            : !Ascii.IsValid(password) ? "The password must be ASCII."
            : null;
        if (error is not null)
            return false;
        var path = uri!.AbsolutePath.EndsWith('/') ? uri.AbsolutePath : uri.AbsolutePath + "/";
        connection = new SiteConnection(new UriBuilder(uri.Scheme, uri.Host, (int)port, path).Uri, user, password);
        return true;
    }

    /// <summary>The address without the password, for messages.</summary>
    /// <returns>Address and user.</returns>
    public override string ToString() => $"{BaseAddress} as {User}";

    // Uri hides a port that is the scheme's default, so this checks the text.
    private static bool HasPort(string host)
    {
        var authority = host[(host.IndexOf("://", StringComparison.Ordinal) + 3)..].Split('/')[0];
        return authority[(authority.LastIndexOf(']') + 1)..].Contains(':', StringComparison.Ordinal);
    }
}
