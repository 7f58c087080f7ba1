using System.Globalization;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Librarian.Tests.TestKit.Upstream;

/// <summary>An answer as it came over the wire.</summary>
/// <param name="Status">HTTP status.</param>
/// <param name="Headers">The headers, in order.</param>
/// <param name="Body">UTF-8.</param>
public sealed record WireReply(int Status, IReadOnlyList<KeyValuePair<string, string>> Headers, string Body)
{
    /// <summary>Value of a header, or null.</summary>
    public string? Header(string name) =>
        Headers.Where(h => h.Key.Equals(name, StringComparison.OrdinalIgnoreCase)).Select(h => h.Value).FirstOrDefault();

    public JsonElement Json => JsonDocument.Parse(Body).RootElement;
}

/// <summary>
/// Posts like the unmodified Python client: python-requests without a session, so each call opens a connection
/// (docs/spec/wire.md#transport).
/// </summary>
public static class PythonRequests
{
    /// <summary>Posts JSON text and follows a 307 with body and credentials.</summary>
    public static async Task<WireReply> PostAsync(
        Uri site,
        string path,
        string json,
        string user,
        string password,
        CancellationToken cancellationToken
    )
    {
        var target = "/api/v2/" + path;
        while (true)
        {
            var reply = await SendAsync(site, target, json, user, password, cancellationToken);
            if (reply.Status != 307)
                return reply;
            target = new Uri(site, reply.Header("Location")!).PathAndQuery;
        }
    }

    private static async Task<WireReply> SendAsync(
        Uri site,
        string target,
        string json,
        string user,
        string password,
        CancellationToken cancellationToken
    )
    {
        using var client = new TcpClient();
        await client.ConnectAsync(site.Host, site.Port, cancellationToken);
        var stream = client.GetStream();
        var body = Encoding.UTF8.GetBytes(json);
        const string Always =
            "User-Agent: python-requests/2.32.5\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n";
        var credentials = Convert.ToBase64String(Encoding.ASCII.GetBytes($"{user}:{password}"));
        var head = string.Create(
            CultureInfo.InvariantCulture,
            $"POST {target} HTTP/1.1\r\nHost: {site.Host}:{site.Port}\r\n{Always}"
                + $"Content-Type: application/json\r\nContent-Length: {body.Length}\r\nAuthorization: Basic {credentials}\r\n\r\n"
        );
        await stream.WriteAsync(Encoding.ASCII.GetBytes(head), cancellationToken);
        await stream.WriteAsync(body, cancellationToken);
        var message = await WireMessage.ReadAsync(stream) ?? throw new IOException("No answer.");
        return new WireReply(int.Parse(message.Start.Split(' ')[1], CultureInfo.InvariantCulture), message.Headers, message.Body);
    }
}
