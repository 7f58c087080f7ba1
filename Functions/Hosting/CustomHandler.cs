namespace Librarian.Functions.Hosting;

/// <summary>
/// Present in the services when this process is the custom handler of a Functions host, which starts it with
/// <c>FUNCTIONS_CUSTOMHANDLER_PORT</c> (functions-host.md §1.2).
/// </summary>
/// <param name="Port">TCP port of 127.0.0.1 the host talks to; the only one to listen on.</param>
public sealed record CustomHandler(int Port)
{
    /// <summary>Name of the setting.</summary>
    public const string PortSetting = "FUNCTIONS_CUSTOMHANDLER_PORT";

    /// <summary>Reads the mode; null when the site stands alone.</summary>
    /// <exception cref="InvalidOperationException">The setting is no port number.</exception>
    public static CustomHandler? From(IConfiguration configuration)
    {
        var text = configuration[PortSetting];
        if (string.IsNullOrEmpty(text)) return null;
        return ushort.TryParse(text, out var port) && port > 0
            ? new CustomHandler(port)
            : throw new InvalidOperationException($"CustomHandlerPort: {PortSetting} is '{text}', which is no TCP port. Nothing was started. The Functions host sets it; unset it to run stand-alone.");
    }
}
