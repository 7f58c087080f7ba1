using System.Collections;
using System.Reflection;
using System.Runtime.CompilerServices;

namespace Librarian.Durable.Engine;

/// <summary>
/// Finds what a suspended orchestrator waits for, from its outermost task inwards: through async methods (the awaiter that the
/// compiler keeps in the suspended state machine), WhenAny, WhenAll of results, and continuations, to the innermost tasks. Named are those
/// that no durable message can ever complete: a wall-clock delay, work given to the thread pool, and an await that does not come back to the
/// orchestrator's flow of control.
/// </summary>
/// <remarks>
/// The shapes read here are private to the runtime. A task of unknown shape (a TaskCompletionSource that another branch of the
/// orchestrator completes, an untyped WhenAll) passes: nothing is called wrong that might be right, and a continuation that comes back from
/// another thread is still caught by <see cref="OrchestrationPump"/>.
/// </remarks>
internal static class AwaitInspection
{
    // Bounds the work per turn of a very wide fan-out.
    private const int MostTasks = 4096;
    private const BindingFlags Declared = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;
    private static readonly FieldInfo? Action = typeof(Task).GetField("m_action", Declared);
    private static readonly FieldInfo? Scheduler = typeof(Task).GetField("m_taskScheduler", Declared);

    // Weak keys: state machines of unloadable assemblies.
    private static readonly ConditionalWeakTable<Type, MachineField> Machines = new();
    private static readonly ConditionalWeakTable<Type, FieldInfo[]> Awaiters = new();
    private static readonly ConditionalWeakTable<Type, FieldInfo[]> InnerTasks = new();
    private static readonly ConditionalWeakTable<Type, FieldInfo[]> AwaiterParts = new();

    /// <summary>What the orchestrator waits for that is not durable, in words that follow "waits"; null when nothing of that kind was found.</summary>
    public static string? FindNonDurable(Task main, TaskScheduler pump)
    {
        var seen = new HashSet<object>(ReferenceEqualityComparer.Instance);
        var pending = new Stack<(object Awaited, string Where)>();
        pending.Push((main, ""));
        while (pending.TryPop(out var next) && seen.Count < MostTasks)
        {
            if (next.Awaited is Task { IsCompleted: true } || !seen.Add(next.Awaited)) continue;
            if (next.Awaited is IAsyncStateMachine iterator)
            {
                if (PushAwaited(iterator, pending, next.Where) is { } found) return found;
                continue;
            }

            if (next.Awaited is not Task task) continue;
            var type = task.GetType();
            if (StateMachineOf(task, type) is { } machine)
            {
                if (PushAwaited(machine, pending, next.Where) is { } found) return found;
                continue;
            }

            var name = type.Name;
            if (name.StartsWith("DelayPromise", StringComparison.Ordinal)) return $"{next.Where} for Task.Delay";
            var inner = InnerTasks.GetValue(type, FindInnerTasks);
            if (inner.Length == 0 && type.Assembly == typeof(Task).Assembly && Action?.GetValue(task) is not null && Scheduler?.GetValue(task) != pump)
                return $"{next.Where} for work on the thread pool (Task.Run, TaskFactory.StartNew or CancelAsync)";
            foreach (var field in inner)
            {
                switch (field.GetValue(task))
                {
                    case ITimer: return $"{next.Where} for Task.WaitAsync with a time-out";
                    case Task one: pending.Push((one, next.Where)); break;
                    case IEnumerable many:
                        foreach (var one in many.OfType<Task>()) pending.Push((one, next.Where));
                        break;
                    default: break;
                }
            }
        }

        return null;
    }

    private static object? StateMachineOf(Task task, Type type) =>
        type.Name.Contains("AsyncStateMachineBox", StringComparison.Ordinal) ? Machines.GetValue(type, FindMachine).Field?.GetValue(task) : null;

    private static MachineField FindMachine(Type type)
    {
        for (var at = type; at is not null; at = at.BaseType)
        {
            if (at.GetField("StateMachine", Declared) is { } field) return new(field);
        }

        return new(null);
    }

    private static string? PushAwaited(object machine, Stack<(object, string)> pending, string outer)
    {
        var type = machine.GetType();
        // The engine's own methods are told as what the orchestrator called.
        var where = type.Assembly == typeof(AwaitInspection).Assembly && outer.Length > 0 ? outer : $"in {MethodName(type)}";
        foreach (var field in Awaiters.GetValue(type, static machine => [.. machine.GetFields(Declared).Where(field => field.Name.StartsWith("<>u__", StringComparison.Ordinal))]))
        {
            if (field.GetValue(machine) is not { } awaiter) continue;
            var (awaited, returns) = Open(awaiter, depth: 0);
            if (awaited is null or Task { IsCompleted: true }) continue;
            // The continuation of a task, unlike that of a value-task source, then leaves for the thread pool.
            if (!returns && awaited is Task) return $"{where} with ConfigureAwait(false)";
            pending.Push((awaited, where));
        }

        return null;
    }

    /// <summary>The task or source inside an awaiter (or the value task inside that), and whether its await returns to the context.</summary>
    private static (object? Awaited, bool Returns) Open(object awaiter, int depth)
    {
        (object? awaited, var returns) = (null, true);
        var type = awaiter.GetType();
        if (depth > 2 || !type.IsValueType || type.Assembly != typeof(Task).Assembly) return (null, true);
        foreach (var field in AwaiterParts.GetValue(type, static awaiter => awaiter.GetFields(Declared)))
        {
            switch (field.GetValue(awaiter))
            {
                case Task task: awaited = task; break;
                case ConfigureAwaitOptions options: returns &= options.HasFlag(ConfigureAwaitOptions.ContinueOnCapturedContext); break;
                case bool captured when field.Name.Contains("continueOnCapturedContext", StringComparison.OrdinalIgnoreCase): returns &= captured; break;
                case IAsyncStateMachine iterator: awaited = iterator; break;
                case ValueType part when part.GetType().Name.StartsWith("ValueTask", StringComparison.Ordinal) || part.GetType().Name.Contains("Awaiter", StringComparison.Ordinal):
                    var (inside, insideReturns) = Open(part, depth + 1);
                    awaited ??= inside;
                    returns &= insideReturns;
                    break;
                default: break;
            }
        }

        return (awaited, returns);
    }

    private static FieldInfo[] FindInnerTasks(Type type)
    {
        var fields = new List<FieldInfo>();
        for (var at = type; at is not null && at != typeof(Task) && !(at.IsGenericType && at.GetGenericTypeDefinition() == typeof(Task<>)); at = at.BaseType)
        {
            if (at.Namespace != "System.Threading.Tasks") continue;
            fields.AddRange(at.GetFields(Declared).Where(field => typeof(Task).IsAssignableFrom(field.FieldType)
                || field.FieldType == typeof(ITimer)
                || (typeof(IEnumerable).IsAssignableFrom(field.FieldType) && field.FieldType != typeof(string))));
        }

        return [.. fields];
    }

    /// <summary>Name of the async method a state machine was made from: <c>Type.Method</c>, also for lambdas and local functions as far as the compiler names them.</summary>
    private static string MethodName(Type machine)
    {
        var name = machine.Name;
        var local = name.IndexOf("g__", StringComparison.Ordinal);
        if (local >= 0) name = name[(local + 3)..].Split('|')[0];
        else if (name.Contains("b__", StringComparison.Ordinal)) name = "a lambda of " + Between(name.TrimStart('<'));
        else name = Between(name);
        var owner = machine.DeclaringType;
        while (owner is not null && owner.Name.StartsWith('<')) owner = owner.DeclaringType;
        return owner is null ? name : $"{owner.Name}, {name}";

        static string Between(string text)
        {
            var end = text.IndexOf('>', StringComparison.Ordinal);
            return end < 0 ? text : text[..end].TrimStart('<');
        }
    }

    private sealed record MachineField(FieldInfo? Field);
}
