using System.Globalization;

namespace Librarian.Functions.Hosting;

/// <summary>
/// A name that no other process ever has and that processes of the same user on the same machine can check (proc(5), pid_namespaces(7)).
/// </summary>
/// <param name="Machine">Host name, for readers of the table.</param>
/// <param name="ProcessId">Within the PID namespace.</param>
/// <param name="User">Processes of others may be hidden (proc(5), hidepid).</param>
/// <param name="Boot">The kernel's id of this boot; containers on one machine share it.</param>
/// <param name="Namespace">The PID namespace.</param>
/// <param name="Started">Start time in clock ticks after boot: a process id is used again, but not with this; 0 when unknown.</param>
public sealed record ProcessIdentity(string Machine, int ProcessId, string User, string Boot, string Namespace, long Started)
{
    /// <summary>This process.</summary>
    public static ProcessIdentity Current { get; } = Of(Environment.ProcessId);

    /// <summary>A process of this user in this PID namespace.</summary>
    public static ProcessIdentity Of(int processId) => new(Environment.MachineName, processId, Environment.UserName,
        Read("/proc/sys/kernel/random/boot_id") ?? "", new FileInfo("/proc/self/ns/pid").LinkTarget ?? "", StartOf(processId) ?? 0);

    /// <summary>
    /// True when the process with that name has certainly ended. False for one that lives, that was not started by this user on this boot
    /// of this machine in this container, or whose name was not made by <see cref="ToString"/>.
    /// </summary>
    public static bool HasEnded(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return name.Split('|') is [_, var id, var user, { Length: > 0 } boot, { Length: > 0 } space, var started, ..]
            && user == Current.User && boot == Current.Boot && space == Current.Namespace && Current.Started > 0
            && int.TryParse(id, NumberStyles.None, CultureInfo.InvariantCulture, out var process)
            && long.TryParse(started, NumberStyles.None, CultureInfo.InvariantCulture, out var ticks) && ticks > 0
            && StartOf(process) != ticks;
    }

    /// <summary>The name, as it stands in tables; whoever needs more than one per process appends to it with another bar.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Machine}|{ProcessId}|{User}|{Boot}|{Namespace}|{Started}");

    // Field 22; the second, in parentheses, may hold spaces and parentheses.
    private static long? StartOf(int process) => Read($"/proc/{process.ToString(CultureInfo.InvariantCulture)}/stat") is { } text
        ? long.Parse(text[(text.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries)[19], CultureInfo.InvariantCulture)
        : null;

    private static string? Read(string path)
    {
        try
        {
            return File.ReadAllText(path).Trim();
        }
        // Also when the process ends between open and read (ESRCH).
        catch (Exception missing) when (missing is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
